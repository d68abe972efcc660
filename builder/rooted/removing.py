"""Removing trees, whatever is in them: depth, lengths of names and modes are no matter, and links are not followed."""

from __future__ import annotations

import errno
import os
import stat

from builder.rooted.root import DIRECTORY, LIST


def remove(parent: int, name: str | bytes) -> None:
    """Removes the file or the whole tree `name` of the open directory `parent`. Nothing happens where there is nothing.

    Directories are entered and left by descriptors, of which few are open at a time: from below, `..` leads back, and
    is checked to be where the way came from. Raises OSError; what could not be removed is left.
    """
    try:
        os.unlink(name, dir_fd=parent)
        return
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):  # the latter for a directory, by POSIX
        if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise
    _Removal(parent).run(os.fsencode(name))


def remove_path(path: str) -> None:
    """`remove` of a path whose parent is out of a stranger's reach."""
    folder, name = os.path.split(path)
    try:
        parent = os.open(folder or ".", DIRECTORY & ~os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        remove(parent, name)
    finally:
        os.close(parent)


class _Level:
    __slots__ = ("identity", "name", "subdirectories")

    def __init__(self, name: bytes, identity: tuple[int, int], subdirectories: list[bytes]) -> None:
        self.name = name
        """Of the directory in its parent."""
        self.identity = identity
        """Device and inode of the parent."""
        self.subdirectories = subdirectories
        """Still to be removed."""


class _Removal:
    """One tree being removed, from below."""

    def __init__(self, parent: int) -> None:
        self._fd = os.dup(parent)
        """Where it is."""
        self._levels: list[_Level] = []

    def run(self, name: bytes) -> None:
        try:
            self._down(name)
            while self._levels:
                if self._levels[-1].subdirectories:
                    self._down(self._levels[-1].subdirectories.pop())
                else:
                    self._up()
        finally:
            os.close(self._fd)

    def _down(self, name: bytes) -> None:
        """Into the directory `name`, of which everything but directories is removed."""
        here = os.fstat(self._fd)
        fd = _open(name, self._fd)
        os.close(self._fd)
        self._fd = fd
        subdirectories = []
        with os.scandir(fd) as listing:
            for item in listing:
                if item.is_dir(follow_symlinks=False):
                    subdirectories.append(os.fsencode(item.name))
                else:
                    os.unlink(item.name, dir_fd=fd)
        self._levels.append(_Level(name, (here.st_dev, here.st_ino), subdirectories))

    def _up(self) -> None:
        """Out of a directory that is empty by now, which is removed."""
        level = self._levels.pop()
        fd = os.open("..", LIST, dir_fd=self._fd)
        os.close(self._fd)
        self._fd = fd
        status = os.fstat(fd)
        if (status.st_dev, status.st_ino) != level.identity:
            raise OSError(errno.ESTALE, "a directory was moved while it was being removed", os.fsdecode(level.name))
        os.rmdir(level.name, dir_fd=fd)


def _open(name: bytes, parent: int) -> int:
    """The directory `name`, in a state to be emptied."""
    if os.geteuid() != 0:
        held = os.open(name, DIRECTORY, dir_fd=parent)
        try:
            os.chmod(f"/proc/self/fd/{held}", 0o700)
        except OSError:
            pass  # somebody else's: what follows says so
        finally:
            os.close(held)
    return os.open(name, LIST, dir_fd=parent)
