"""Plain progress, line by line, in the form of docker's `--progress plain`.

One vertex has the floor at a time. Another one's output waits until that one ends, or has held the floor for some
seconds, so that logs of parallel steps stay readable; nothing is dropped. The line with `miss:` is builder's own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import TextIO

from builder.solver.events import AnyEvent, VertexNamed, WarningRaised
from builder.ui.buildstate import Item, Trace, TracedVertex, error_tail, warning_text, without_escapes
from builder.ui.output import Output
from builder.ui.units import progress_size

_FLOOR_SECONDS = 5.0
_TICK_SECONDS = 1.0
_QUIET_SECONDS = 0.1
"""What ends sooner is shown at its end only."""
_ITEM_SECONDS = 5.0
_ITEM_SHARE = 0.05
_TAIL_LINES = 10


class _Printed:
    """How much of a vertex has been printed."""

    def __init__(self) -> None:
        self.why = False
        self.lines = 0
        """Complete log lines, counted from the vertex' first."""
        self.characters = 0
        """Of the unfinished line."""
        self.items: dict[str, tuple[float, int, bool]] = {}
        """By item: when, how far, and whether that was its end."""
        self.warnings: list[str] = []
        """Not yet printed."""


class Plain:
    kind = "plain"

    def __init__(self, stream: TextIO, *, runtime: str = "") -> None:
        self._out = Output(stream)
        self._runtime = runtime
        self._trace = Trace()
        self._printed: dict[int, _Printed] = {}
        self._floor: TracedVertex | None = None
        self._floor_since = 0.0
        self._waiting: dict[int, TracedVertex] = {}
        """Vertices with something to print, in the order in which they got it."""
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._closed = False
        self._paused = False

    def handle(self, event: AnyEvent) -> None:
        with self._lock:
            vertex = self._trace.apply(event)
            if vertex is None or isinstance(event, VertexNamed):
                return
            if isinstance(event, WarningRaised):
                self._record(vertex).warnings.append(warning_text(event))
            if vertex.started is not None:
                self._waiting[vertex.number] = vertex
                self._print(event.time)

    def pause(self) -> None:
        with self._lock:
            for vertex in list(self._waiting.values()):
                self._show(vertex, time.time())
            self._paused = True

    def resume(self) -> None:
        with self._lock:
            self._paused = False
            self._print(time.time())

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
            for vertex in list(self._waiting.values()):
                self._show(vertex, time.time())
            failed = [vertex for vertex in self._trace.vertices.values() if vertex.error]
            self._out.write("".join(error_tail(vertex, _TAIL_LINES) for vertex in failed))

    def _print(self, now: float) -> None:
        """Prints what is due: all of ended vertices, then what the one with the floor has."""
        if self._paused:
            return
        if self._floor is not None and self._floor.ended is not None:
            self._show(self._floor, now)
        for vertex in [vertex for vertex in self._waiting.values() if vertex.ended is not None]:
            self._show(vertex, now)
        if self._floor is None:
            self._give_floor(now)
        elif self._floor.number in self._waiting:
            self._show(self._floor, now)
        elif self._waiting and now - self._floor_since >= _FLOOR_SECONDS:
            self._show(next(iter(self._waiting.values())), now)
        if self._waiting and self._timer is None:
            self._timer = threading.Timer(_TICK_SECONDS if self._floor else _QUIET_SECONDS, self._tick)
            self._timer.daemon = True
            self._timer.start()

    def _give_floor(self, now: float) -> None:
        """Lets one speak: of those that have something to say the first, else one that has been running quietly."""
        talking = (vertex for vertex in self._waiting.values()
                   if vertex.log or vertex.items or vertex.seconds(now) >= _QUIET_SECONDS)
        quiet = (vertex for vertex in self._trace.vertices.values()
                 if vertex.running and vertex.number not in self._waiting)
        if (vertex := next(talking, None) or next(quiet, None)) is not None:
            self._show(vertex, now)

    def _tick(self) -> None:
        with self._lock:
            self._timer = None
            if not self._closed:
                self._print(time.time())

    def _record(self, vertex: TracedVertex) -> _Printed:
        return self._printed.setdefault(vertex.number, _Printed())

    def _show(self, vertex: TracedVertex, now: float) -> None:
        """Prints all that is new about a vertex; it has the floor afterwards unless it has ended."""
        printed = self._record(vertex)
        text = ""
        if vertex is not self._floor:
            text = self._take_floor() + f"#{vertex.number} {vertex.name}\n"
            self._floor, self._floor_since = vertex, now
        marked = [*self._why(vertex, printed), *self._items(vertex, printed), *self._warnings(printed)]
        text += "".join(f"#{vertex.number} {line}\n" for line in marked)
        text += _log(vertex, printed)
        vertex.forget_lines(_TAIL_LINES)
        if vertex.ended is not None:
            text += "\n" if printed.characters else ""
            text += f"#{vertex.number} {_ending(vertex)}\n"
            self._floor = None
        self._waiting.pop(vertex.number, None)
        self._out.write(text)

    def _take_floor(self) -> str:
        if self._floor_since == 0.0:
            return f'#0 building with "{self._runtime}" runtime\n\n' if self._runtime else ""
        if self._floor is None:
            return "\n"
        printed = self._printed[self._floor.number]
        cut, printed.characters = "\n" if printed.characters else "", 0
        return f"{cut}#{self._floor.number} ...\n\n"

    def _why(self, vertex: TracedVertex, printed: _Printed) -> Iterator[str]:
        if vertex.why and not printed.why:
            printed.why = True
            yield f"miss: {without_escapes(vertex.why)}"

    def _warnings(self, printed: _Printed) -> Iterator[str]:
        for text in printed.warnings:
            yield f"WARN: {without_escapes(text)}"
        printed.warnings.clear()

    def _items(self, vertex: TracedVertex, printed: _Printed) -> Iterator[str]:
        for name, item in vertex.items.items():
            if _is_due(item, printed.items.get(name)):
                printed.items[name] = (item.updated, item.current, item.done)
                yield _item_line(name, item)


def _is_due(item: Item, last: tuple[float, int, bool] | None) -> bool:
    """Whether an item has moved so far that it deserves another line."""
    if last is None:
        return item.done or item.updated - item.started >= _QUIET_SECONDS
    time_then, current_then, was_done = last
    if was_done or item.done:
        return not was_done
    moved = (item.current - current_then) / item.total if item.total else 0.0
    return moved >= _ITEM_SHARE or item.updated - time_then >= _ITEM_SECONDS


def _item_line(name: str, item: Item) -> str:
    amount = ""
    if item.total:
        amount = f" {progress_size(item.current)} / {progress_size(item.total)}"
    elif item.current:
        amount = f" {progress_size(item.current)}"
    seconds = item.updated - item.started
    took = f" {seconds:.1f}s" if seconds > 0.01 else ""
    return without_escapes(name) + amount + took + (" done" if item.done else "")


def _log(vertex: TracedVertex, printed: _Printed) -> str:
    """The log from where printing stopped; the unfinished last line too, without an end."""
    text = ""
    for line in vertex.log[printed.lines - vertex.forgotten:]:
        text += line[printed.characters:] if printed.characters else f"#{vertex.number} {line}"
        if vertex.open_line and printed.lines == vertex.forgotten + len(vertex.log) - 1:
            printed.characters = len(line)
        else:
            text += "\n"
            printed.lines += 1
            printed.characters = 0
    return text


def _ending(vertex: TracedVertex) -> str:
    if vertex.error:
        return f"ERROR: {without_escapes(vertex.error.replace(chr(10), ' '))}"
    if vertex.cancelled:
        return "CANCELED"
    return "CACHED" if vertex.cached else f"DONE {vertex.seconds(0):.1f}s"
