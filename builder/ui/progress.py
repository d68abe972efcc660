"""Progress views: something that is fed the events of one build, and ends when it is closed."""

from __future__ import annotations

import os
import sys
from typing import Protocol, TextIO

from builder.solver.events import AnyEvent


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
