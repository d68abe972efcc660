"""The live view of a build on a terminal, in the form of docker's: a header, a row per vertex, tails of running logs.

Events only change the state; a thread of its own draws it a few times a second, each frame over the last one.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TextIO

import msgspec

from builder.golang.tabwriter import cell_width
from builder.solver.events import AnyEvent
from builder.ui.buildstate import Item, Trace, TracedVertex, error_tail, without_escapes
from builder.ui.colors import Palette, paint
from builder.ui.output import Output
from builder.ui.text import clip, printable
from builder.ui.units import progress_size

_FRAME_SECONDS = 0.1
_LOG_LINES = 6
_HIDE_CURSOR, _SHOW_CURSOR, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[?25l", "\x1b[?25h", "\x1b[K", "\x1b[J"
_LEAST_NAME = 12
"""With fewer columns for the name there is no point in a row."""


class Live:
    kind = "tty"

    def __init__(self, stream: TextIO, *, runtime: str = "") -> None:
        self._out = Output(stream)
        self._fd = stream.fileno()
        self._title = f"builder:{runtime}" if runtime else ""
        self._palette = Palette.from_environment(os.environ)
        self._log_lines = _log_lines(os.environ.get("BUILDKIT_TTY_LOG_LINES", ""))
        self._trace = Trace()
        self._drawn = 0
        """Lines of the last frame."""
        self._lock = threading.Lock()
        self._paused = False
        self._closing = threading.Event()
        self._painter = threading.Thread(target=self._paint, name="progress", daemon=True)
        self._painter.start()

    def handle(self, event: AnyEvent) -> None:
        with self._lock:
            vertex = self._trace.apply(event)
            if vertex is not None:
                vertex.forget_lines()

    def pause(self) -> None:
        with self._lock:
            self._draw(final=False)
            self._out.control(_SHOW_CURSOR)
            self._drawn = 0
            self._paused = True

    def resume(self) -> None:
        with self._lock:
            self._paused = False

    def close(self) -> None:
        if self._closing.is_set():
            return
        self._closing.set()
        self._painter.join()
        with self._lock:
            self._draw(final=True)
            failed = [vertex for vertex in self._trace.vertices.values() if vertex.error]
            self._out.write("".join(error_tail(vertex, None) for vertex in failed))
            self._out.control(_SHOW_CURSOR)

    def _paint(self) -> None:
        while not self._closing.wait(_FRAME_SECONDS):
            with self._lock:
                if self._trace.started is not None and not self._paused:
                    self._draw(final=False)

    def _draw(self, *, final: bool) -> None:
        lines = frame(self._trace, time.time(), self._size(), self._palette, title=self._title,
                      log_lines=self._log_lines, final=final)
        up = f"\x1b[{self._drawn}A\r" if self._drawn else ""
        body = "".join(f"{line}{_CLEAR_LINE}\n" for line in lines)
        self._out.control(_HIDE_CURSOR + up + body + _CLEAR_BELOW)
        self._drawn = len(lines)

    def _size(self) -> tuple[int, int]:
        try:
            width, height = os.get_terminal_size(self._fd)
        except OSError:
            return 80, 10
        return width or 80, height or 10


class _Row(msgspec.Struct, frozen=True):
    text: str
    status: str = ""
    seconds: float | None = None
    color: str = ""
    running: bool = False


def frame(trace: Trace, now: float, size: tuple[int, int], palette: Palette, *, title: str = "",
          log_lines: int = _LOG_LINES, final: bool = False) -> list[str]:
    """The lines of one picture, none wider than the terminal; all of them when `final`, else as many as fit."""
    width, height = size
    started = [vertex for vertex in trace.vertices.values() if vertex.started is not None]
    started.sort(key=lambda vertex: vertex.started or 0.0)
    running = sum(vertex.running for vertex in started)
    room = height - 2
    tail = 0 if final or not running else max(min(log_lines, room // running - 2), 0)
    rows = [row for vertex in started for row in _rows_of(vertex, now, palette, tail)]
    if not final and len(rows) > room:
        rows = _fitting(rows, room)
    lines = [_render(row, width) for row in rows]
    return [_header(trace, now, width, title, final), *(line for line in lines if line)]


def _header(trace: Trace, now: float, width: int, title: str, final: bool) -> str:
    done, total = trace.completed, len(trace.vertices)
    seconds = max(now - trace.started, 0.0) if trace.started is not None else 0.0
    text = f"[+] Building {seconds:.1f}s ({done}/{total})" + (" FINISHED" if final and done == total else "")
    gap = width - len(text) - len(title) - 1
    return clip(text + (" " * gap + title if title and gap > 0 else ""), width)


def _rows_of(vertex: TracedVertex, now: float, palette: Palette, tail: int) -> list[_Row]:
    prefix, color = "", palette.run
    if vertex.error:
        prefix, color = "ERROR ", palette.error
    elif vertex.cancelled:
        prefix, color = "CANCELED ", palette.cancel
    elif vertex.cached:
        prefix = "CACHED "
    running = vertex.running
    name = printable(vertex.name.replace("\t", " "))
    rows = [_Row(prefix + name, "", vertex.seconds(now), "" if running else color, running)]
    if vertex.why:
        rows.append(_Row("=> miss: " + printable(without_escapes(vertex.why)), color=palette.faint, running=running))
    rows.extend(_item_row(name, item, now, palette) for name, item in vertex.items.items())
    if running and tail:
        rows.extend(_Row(f"=> # {line}", color=palette.faint, running=True) for line in _tail(vertex, tail))
    return rows


def _item_row(name: str, item: Item, now: float, palette: Palette) -> _Row:
    status = progress_size(item.current) if item.current or item.total else ""
    if item.total:
        status += f" / {progress_size(item.total)}"
    seconds = (item.updated if item.done else now) - item.started
    color = palette.run if item.done else ""
    return _Row(f"=> {printable(without_escapes(name))}", status, max(seconds, 0.0), color, not item.done)


def _tail(vertex: TracedVertex, lines: int) -> list[str]:
    """The last log lines, without their times, as a terminal would show them: the text behind the last return."""
    shown = []
    for line in vertex.log[-lines:]:
        text = line.partition(" ")[2].rstrip("\r").rpartition("\r")[2]
        shown.append(without_escapes(text).replace("\t", "    ").replace("\n", " "))
    return shown


def _fitting(rows: list[_Row], room: int) -> list[_Row]:
    """At most `room` rows: the oldest finished ones go first."""
    surplus = len(rows) - max(room, 0)
    kept = []
    for row in rows:
        if surplus > 0 and not row.running:
            surplus -= 1
        else:
            kept.append(row)
    return kept[:max(room, 0)]


def _render(row: _Row, width: int) -> str:
    """One line of exactly `width` columns or less; "" if the terminal is too narrow for it."""
    timer = "" if row.seconds is None else f" {row.seconds if row.seconds >= 0.05 else 0.0:.1f}s"
    left = width - len(" => ") - len(timer) - 1
    status = row.status if row.status and left + len(row.status) > 20 and left - len(row.status) > _LEAST_NAME else ""
    if status:
        left -= len(status) + 1
    if left < _LEAST_NAME:
        return ""
    text = " => " + clip(row.text, left) + (f" {status}" if status else "")
    if timer:
        text += " " * max(width - cell_width(text) - len(timer), 0) + timer
    return paint(text, row.color)


def _log_lines(text: str) -> int:
    return int(text) if text.isdecimal() and text.isascii() and 0 < int(text) < 1000 else _LOG_LINES
