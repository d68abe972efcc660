"""Progress views: something that is fed the events of one build, and ends when it is closed."""

from __future__ import annotations

import os
import sys
from typing import Protocol, TextIO

from builder.solver.events import AnyEvent
from builder.ui.text import visible


class Progress(Protocol):
    kind: str
    """plain, tty, rawjson or quiet."""

    def handle(self, event: AnyEvent) -> None:
        """Takes one event; called under the engine's emit lock, so never twice at a time."""

    def pause(self) -> None:
        """Shows what there is and leaves the terminal to somebody else; events are taken on, but not shown."""

    def resume(self) -> None:
        """Goes on, below what was written meanwhile."""

    def close(self) -> None:
        """Shows the rest, and leaves the terminal as it was. Idempotent."""


class Silence:
    """No progress at all (`quiet`, `none`)."""

    kind = "quiet"

    def handle(self, event: AnyEvent) -> None:
        pass

    def pause(self) -> None:
        pass

    def resume(self) -> None:
        pass

    def close(self) -> None:
        pass


def open_progress(mode: str, *, runtime: str = "", stream: TextIO | None = None) -> Progress:
    """The view for `mode`, as --progress names it, of a build whose steps `runtime` runs.

    `auto` and `tty` are the live view on a terminal, and plain progress otherwise.
    """
    stream = stream or sys.stderr
    if mode in ("quiet", "none"):
        return Silence()
    if mode == "rawjson":
        from builder.ui.rawjson import RawJson

        return RawJson(stream)
    if mode in ("auto", "tty") and stream.isatty() and os.environ.get("TERM") != "dumb":
        from builder.ui.tty import Live

        return Live(stream, runtime=runtime)
    from builder.ui.plain import Plain

    return Plain(stream, runtime=runtime)


class Output:
    """A stream that may fail or lose its reader: from then on, nothing more is written and the build goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream
        self._on_terminal = stream.isatty()
        errors = getattr(stream, "errors", None)
        if errors == "strict" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> None:
        """Text that steps and images may have part in: on a terminal it cannot be more than text."""
        self._write(visible(text) if self._on_terminal else text)

    def control(self, text: str) -> None:
        """Text of ours, with control sequences."""
        self._write(text, control=True)

    def _write(self, text: str, *, control: bool = False) -> None:
        if self._stream is None or not text:
            return
        try:
            (getattr(self._stream, "control", self._stream.write) if control else self._stream.write)(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._stream = None
