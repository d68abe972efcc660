"""What the events of a build add up to: the state that the plain and the live view draw.

A vertex keeps all its output until a view says what it still needs. Nothing here prints.
"""

from __future__ import annotations

import codecs
import re

from builder.solver import events

_KEPT_LINES = 1000
_LONGEST_LINE = 64 << 10
"""Characters, after which a line is broken: output without an end of line is not collected without an end."""
_ESCAPES = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.)|[\x00-\x08\x0b-\x1f\x7f-\x9f]"


class Item:
    """A countable part of a vertex, such as a layer being pulled."""

    def __init__(self, started: float) -> None:
        self.started = self.updated = started
        self.current = self.total = 0
        self.done = False


class TracedVertex:
    """One vertex so far; `ended` is None while it runs, and `error` is empty unless it failed."""

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.name = name
        self.started: float | None = None
        self.ended: float | None = None
        self.why = ""
        self.cached = self.cancelled = False
        self.error = ""
        self.items: dict[str, Item] = {}
        self.log: list[str] = []
        """Lines as `<seconds> <text>`; the last one is unfinished while `open_line` is true."""
        self.open_line = False
        self.forgotten = 0
        """Lines that were in `log` before its first one."""
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode

    @property
    def running(self) -> bool:
        return self.started is not None and self.ended is None

    def seconds(self, now: float) -> float:
        if self.started is None:
            return 0.0
        return max((now if self.ended is None else self.ended) - self.started, 0.0)

    def write(self, data: bytes, time: float) -> None:
        """Adds process output; a new line begins with the seconds since the start of the vertex."""
        *lines, rest = self._decode(data).split("\n")
        for line in lines:
            self._append(line, time)
            self.open_line = False
        if rest:
            self._append(rest, time)
            self.open_line = True

    def forget_lines(self, kept: int = _KEPT_LINES) -> None:
        """Drops all but the last lines."""
        surplus = len(self.log) - kept
        if surplus > 0:
            del self.log[:surplus]
            self.forgotten += surplus

    def _append(self, text: str, time: float) -> None:
        if self.open_line and self.log and len(self.log[-1]) < _LONGEST_LINE:
            self.log[-1] += text
            return
        seconds = self.seconds(time)
        digits = 3 if seconds < 10 else 2 if seconds < 100 else 1
        self.log.append(f"{seconds:.{digits}f} {text}")

    def end(self, time: float) -> None:
        """What was cancelled before it began is over, but never was: there is nothing to show of it."""
        if self.started is None and not self.cancelled:
            self.started = time
        self.ended = time


class Trace:
    """The build so far. `apply` takes one event and gives the vertex that it is about, if any."""

    def __init__(self) -> None:
        self.vertices: dict[int, TracedVertex] = {}
        self.started: float | None = None

    def apply(self, event: events.AnyEvent) -> TracedVertex | None:
        if self.started is None:
            self.started = event.time
        match event:
            case events.VertexNamed():
                self.vertices.setdefault(event.vertex, TracedVertex(event.vertex, visible_name(event.name)))
            case events.VertexStarted():
                vertex = self.vertices[event.vertex]
                vertex.started, vertex.why = event.time, telling(event.why)
            case events.VertexLog():
                self.vertices[event.vertex].write(event.data, event.time)
            case events.VertexProgress():
                self._progress(event)
            case events.VertexCached() | events.VertexDone() | events.VertexFailed() | events.VertexCancelled():
                vertex = self.vertices[event.vertex]
                vertex.cached = isinstance(event, events.VertexCached)
                vertex.cancelled = isinstance(event, events.VertexCancelled)
                vertex.error = event.error or "failed" if isinstance(event, events.VertexFailed) else ""
                vertex.end(event.time)
            case events.WarningRaised():
                return self.vertices.get(event.vertex) if event.vertex is not None else None
            case _:
                return None
        return self.vertices[event.vertex]

    def _progress(self, event: events.VertexProgress) -> None:
        item = self.vertices[event.vertex].items.setdefault(event.item, Item(event.time))
        item.current, item.total, item.done, item.updated = event.current, event.total, event.done, event.time

    @property
    def completed(self) -> int:
        return sum(vertex.ended is not None for vertex in self.vertices.values())


def telling(why: str) -> str:
    """Of the reason for which a step runs, what is news to who watches: `builder why` has all of it.

    That a step was never built before, that the cache was not to be asked, and that a step before it changed is clear
    from what is shown already: the step that all began with has a reason of its own.
    """
    if not why:
        return ""
    from builder.cache.differences import PARENT_CHANGED
    from builder.cache.explain import NOT_ASKED, UNKNOWN

    return "; ".join(part for part in why.split("; ") if part not in (*PARENT_CHANGED, NOT_ASKED, UNKNOWN))


def visible_name(name: str) -> str:
    """A vertex' name on one line: BuildKit folds line ends away, and so no name can break the display."""
    return without_escapes(name.replace("\n", " "))


def without_escapes(text: str) -> str:
    """`text` without terminal escape sequences and other control characters but tab and line end."""
    return text if text.isprintable() else re.sub(_ESCAPES, "", text)


def warning_text(event: events.WarningRaised) -> str:
    """`Rule: message (line N)`."""
    rule = f"{event.rule}: " if event.rule else ""
    place = f" (line {event.location.span.line})" if event.location is not None else ""
    return f"{rule}{event.message}{place}"


def error_tail(vertex: TracedVertex, lines: int | None) -> str:
    """The `------` block: a failed vertex' name and the last `lines` of its output (None: all that is kept)."""
    shown = vertex.log if lines is None else vertex.log[-lines:]
    return "".join(("------\n", f" > {vertex.name}:\n", *(f"{line}\n" for line in shown), "------\n"))
