"""A file tree that can be read: the build context, a stack of layers, or one directory.

Trees hand out entries by path inside the tree; each entry knows the root directory that holds it, in which its path is
canonical, and is opened beneath that by descriptors alone (`builder.rooted`).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from typing import Protocol

import msgspec

from builder.rooted.root import Root


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One name in a tree: like lstat, never following the last component."""

    path: str
    """Inside the tree: no leading slash, no `.` or `..`; "" is the root."""
    root: Root
    """What holds it, at the same path."""
    stat: os.stat_result

    @property
    def is_dir(self) -> bool:
        return stat.S_ISDIR(self.stat.st_mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.stat.st_mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.stat.st_mode)

    def open(self) -> int:
        """A descriptor to read the file from. Raises OSError, also for a link."""
        return self.root.open(self.path)

    def readlink(self) -> str:
        """The target of a link, as written. Raises OSError, ESTALE if there is something else now."""
        try:
            return self.root.readlink(self.path)
        except OSError as error:
            if error.errno == errno.EINVAL:  # readlink(2) of what is no link
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), error.filename) from None
            raise


def shown(path: str) -> str:
    """`path` as text for people and JSON: bytes that are no UTF-8 as `\\xff`."""
    return path if path.isascii() else os.fsencode(path).decode("utf-8", "backslashreplace")


class FileTree(Protocol):
    """Reading never changes a tree. Paths may have leading, doubled or trailing slashes and `..` (kept inside)."""

    root_owned: bool
    """True when everything in it counts as owned by 0:0 (a build context)."""

    def lstat(self, path: str) -> Entry | None:
        """The entry at `path`, or None. Links in parent components are followed inside the tree, not the last one."""
        ...

    def children(self, path: str) -> list[Entry]:
        """What is in the directory `path`, sorted by name (bytes of the file system encoding); [] if it is none."""
        ...

    def walk(self, path: str) -> Iterator[Entry]:
        """All entries below the directory `path`, not itself, parents first, siblings sorted by name."""
        ...
