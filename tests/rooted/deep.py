"""Trees deeper than any path can be long."""

from __future__ import annotations

import os
from pathlib import Path


def make_deep(top: Path, depth: int, name: str) -> None:
    """Directories in each other below `top`, a file in the last one."""
    fd = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=fd)
        inner = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
