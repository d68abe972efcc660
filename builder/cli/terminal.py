"""The caller's terminal, lent to a container."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def raw_terminal(wanted: bool = True, fd: int = 0) -> Iterator[None]:
    """Keys go to the container as they are typed, and it is the container's terminal that echoes them."""
    if not wanted:
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(fd)
    tty.setraw(fd)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def write_through(stream: int, data: bytes) -> None:
    """Output of a container as this process' own."""
    file = sys.stderr if stream == 2 else sys.stdout
    file.buffer.write(data)
    file.buffer.flush()
