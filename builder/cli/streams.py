"""The standard streams of the command: always there, and safe to show on a terminal.

Standard error carries what a command says about its work, so work never fails because of it: what cannot be written
is dropped. Standard output carries what was asked for: there, an error is one. A stream that the caller has closed
(`2>&-`) is /dev/null, so that no file of ours gets its number.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

_STDIN, _STDOUT, _STDERR = range(3)


def open_streams() -> None:
    """Puts this process' standard streams in order; streams that somebody else has put there are left alone."""
    for fd in (_STDIN, _STDOUT, _STDERR):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, so this one
    if sys.stdin is None:
        sys.stdin = open(_STDIN, encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(_STDOUT, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    elif isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout is sys.__stdout__ and sys.stdout.isatty():
        sys.stdout = sys.__stdout__ = TerminalText(  # type: ignore[misc]
            sys.stdout.detach(), encoding="utf-8", errors="backslashreplace", line_buffering=True)
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        raw = _Dropping(_STDERR, "w", closefd=False)
        kind = TerminalText if raw.isatty() else io.TextIOWrapper
        sys.stderr = sys.__stderr__ = kind(  # type: ignore[misc]
            io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace", line_buffering=True)


def write_output(data: bytes) -> None:
    """Standard output's bytes; on a terminal, text like all other."""
    if isinstance(sys.stdout, TerminalText):
        sys.stdout.write(data.decode(errors="replace"))
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(data)


def discard_output() -> None:
    """Standard output cannot be written: what is left of it must not be tried again when the interpreter ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


class TerminalText(io.TextIOWrapper):
    """Text for a terminal, which it can colour but not steer: other control characters are made visible."""

    def write(self, text: str) -> int:
        from builder.ui.text import visible

        super().write(visible(text))
        return len(text)

    def control(self, text: str) -> int:
        """Writes a program's own control sequences."""
        return super().write(text)


class _Dropping(io.FileIO):
    """A file that takes all that is written, whether it has room for it or not."""

    def write(self, data: Buffer) -> int:
        try:
            while (written := super().write(data)) is None:  # of a stream that does not block
                _wait(self.fileno())
        except OSError:
            return memoryview(data).nbytes
        return written


def _wait(fd: int) -> None:
    import select

    select.select((), (fd,), ())
