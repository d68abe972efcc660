"""Removing trees, whatever is in them: depth, lengths of names and modes are no matter, and links are not followed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

from builder.rooted.root import DIRECTORY, LIST

_GETFLAGS, _SETFLAGS = 0x80086601, 0x40086602
"""FS_IOC_GETFLAGS and FS_IOC_SETFLAGS of linux/fs.h, for a long of 64 bits."""
_PROTECTED = 0x10 | 0x20
"""FS_IMMUTABLE_FL and FS_APPEND_FL: chattr +i, +a."""


def remove(parent: int, name: str | bytes) -> None:
    """Removes the file or the whole tree `name` of the open directory `parent`. Nothing happens where there is nothing.

    Directories are entered and left by descriptors, of which few are open at a time: from below, `..` leads back, and
    is checked to be where the way came from. Read-only and immutable files go too, and several processes may remove
    one tree. Raises OSError; what could not be removed is left.
    """
    while True:
        try:
            _unlink(name, parent)
            return
        except IsADirectoryError:
            pass
        with contextlib.suppress(FileNotFoundError):  # somebody else removes it too: look again what is left
            _Removal(parent).run(os.fsencode(name))
            return


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


@contextlib.contextmanager
def temporary_folder(prefix: str, parent: str | None = None) -> Iterator[str]:
    """The path of a new folder, for its owner alone, in `parent` or where temporary files go. Whatever was put in it,
    it is removed in the end."""
    import tempfile

    path = tempfile.mkdtemp(prefix=prefix, dir=parent)
    try:
        yield path
    finally:
        remove_path(path)


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
                    with contextlib.suppress(FileNotFoundError):
                        _unlink(item.name, fd)
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
        try:
            os.rmdir(level.name, dir_fd=fd)
        except PermissionError:
            _unprotect(".", fd)
            _unprotect(level.name, fd)
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


def _unlink(name: str | bytes, parent: int) -> None:
    """Nothing where there is nothing. Raises IsADirectoryError, OSError."""
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return
    except PermissionError:
        if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name) from None
        _unprotect(".", parent)
        _unprotect(name, parent)
        os.unlink(name, dir_fd=parent)


def _unprotect(name: str | bytes, parent: int) -> None:
    """Takes the flags off that keep even root from removing it, as far as that can be done."""
    import fcntl
    import struct

    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    except OSError:
        return
    with contextlib.suppress(OSError):
        flags = struct.unpack("l", fcntl.ioctl(fd, _GETFLAGS, bytes(struct.calcsize("l"))))[0]
        if flags & _PROTECTED:
            fcntl.ioctl(fd, _SETFLAGS, struct.pack("l", flags & ~_PROTECTED))
    os.close(fd)
