"""Files at canonical paths below a directory: see the docstring of this folder."""

from __future__ import annotations

import errno
import os
from collections import deque

DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""Flags that open a directory, and only a real one, to go on from."""

LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""Flags that open one to list it."""

LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
"""Flags that open whatever is there, a link too, without any effect."""

MAX_LINKS = 40
"""As many as Linux follows in one path."""

_NO_NAMES = ("", ".", "..")
_MOST_OPEN = 128


class Directory:
    """An open directory, closed with the last reference to it. Names are single components; no link is followed.

    Where attributes are read or set, "" is the directory itself.

    All methods raise OSError: ENOTDIR or ELOOP where there is a link.
    """

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        """Takes over `fd`, which may be O_PATH."""
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)

    def enter(self, name: str) -> Directory:
        return Directory(os.open(_single(name), DIRECTORY, dir_fd=self.fd))

    def names(self) -> list[str]:
        """What is in it, sorted by bytes."""
        fd = os.open(".", LIST, dir_fd=self.fd)
        try:
            names = os.listdir(fd)
        finally:
            os.close(fd)
        names.sort(key=None if "".join(names).isascii() else os.fsencode)
        return names

    def lstat(self, name: str) -> os.stat_result:
        return os.stat(_single(name) if name else ".", dir_fd=self.fd, follow_symlinks=False)

    def open(self, name: str, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
        """A descriptor; opening a pipe does not wait for its other end."""
        return os.open(_single(name), flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode, dir_fd=self.fd)

    def readlink(self, name: str) -> str:
        return os.readlink(_single(name), dir_fd=self.fd)

    def chmod(self, name: str, mode: int) -> None:
        fd = os.open(_single(name) if name else ".", LOOK, dir_fd=self.fd)
        try:
            os.chmod(f"/proc/self/fd/{fd}", mode)
        finally:
            os.close(fd)

    def chown(self, name: str, uid: int, gid: int) -> None:
        os.chown(_single(name) if name else ".", uid, gid, dir_fd=self.fd, follow_symlinks=False)

    def utime(self, name: str, mtime_ns: int, atime_ns: int | None = None) -> None:
        """Both times are `mtime_ns`, unless both are given."""
        times = (mtime_ns if atime_ns is None else atime_ns, mtime_ns)
        os.utime(_single(name) if name else ".", ns=times, dir_fd=self.fd, follow_symlinks=False)

    def listxattr(self, name: str) -> list[str]:
        return os.listxattr(self._through_proc(name), follow_symlinks=False)

    def getxattr(self, name: str, attribute: str) -> bytes:
        return os.getxattr(self._through_proc(name), attribute, follow_symlinks=False)

    def setxattr(self, name: str, attribute: str, value: bytes) -> None:
        os.setxattr(self._through_proc(name), attribute, value, follow_symlinks=False)

    def removexattr(self, name: str, attribute: str) -> None:
        os.removexattr(self._through_proc(name), attribute, follow_symlinks=False)

    def _through_proc(self, name: str) -> str:
        """For calls that take no descriptor of a directory: the magic link is this process' own."""
        return f"/proc/self/fd/{self.fd}/{_single(name)}" if name else f"/proc/self/fd/{self.fd}/."


class Root:
    """A directory whose content is hostile. Paths in it are canonical: no link, no `.`, no `..`; "" is itself.

    The directory entered last stays open for the next path. With `hold` the root itself is opened once, now, and
    whatever takes its name later is not looked at; otherwise its path must be out of a stranger's reach, and is opened
    again when many other roots have been in use. Several threads may use one. All methods raise OSError, with the
    whole path as its file name.
    """

    __slots__ = ("_last", "_top", "path")

    def __init__(self, path: str, *, hold: bool = False, top: Directory | None = None) -> None:
        """`top` is the directory at `path`, if it is open already; it is held."""
        self.path = path
        """As people see it."""
        self._top = Directory(os.open(path, DIRECTORY)) if hold and top is None else top
        self._last: tuple[str, Directory] | None = None

    def __repr__(self) -> str:
        return f"Root({self.path!r})"

    def directory(self, path: str) -> Directory:
        """The directory at `path`."""
        last = self._last
        if last is not None and last[0] == path:
            return last[1]
        try:
            found = self._enter(path, last)
        except OSError as error:
            raise self._named(error, path) from None
        self._last = path, found
        return found

    def locate(self, path: str) -> tuple[Directory, str]:
        """The directory that `path` is in, and its last component; "" for the root itself."""
        parent, _, name = path.rpartition("/")
        return self.directory(parent), name

    def names(self, path: str) -> list[str]:
        """What is in the directory `path`, sorted by bytes."""
        try:
            return self.directory(path).names()
        except OSError as error:
            raise self._named(error, path) from None

    def lstat(self, path: str) -> os.stat_result:
        parent, name = self.locate(path)
        try:
            return parent.lstat(name)
        except OSError as error:
            raise self._named(error, path) from None

    def open(self, path: str, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
        """A descriptor; opening a pipe does not wait for its other end."""
        parent, name = self.locate(path)
        try:
            return parent.open(name, flags, mode) if name else os.open(".", flags | os.O_CLOEXEC, dir_fd=parent.fd)
        except OSError as error:
            raise self._named(error, path) from None

    def readlink(self, path: str) -> str:
        parent, name = self.locate(path)
        try:
            return parent.readlink(name)
        except OSError as error:
            raise self._named(error, path) from None

    def listxattr(self, path: str) -> list[str]:
        parent, name = self.locate(path)
        try:
            return parent.listxattr(name)
        except OSError as error:
            raise self._named(error, path) from None

    def getxattr(self, path: str, attribute: str) -> bytes:
        parent, name = self.locate(path)
        try:
            return parent.getxattr(name, attribute)
        except OSError as error:
            raise self._named(error, path) from None


    def _enter(self, path: str, last: tuple[str, Directory] | None) -> Directory:
        if last is not None and path.startswith(last[0] + "/"):
            found, rest = last[1], path[len(last[0]) + 1:]
        else:
            found, rest = self._root(), path
        for name in rest.split("/") if rest else ():
            found = found.enter(name)
        return found

    def _root(self) -> Directory:
        top = self._top
        if top is None:
            top = Directory(os.open(self.path, DIRECTORY))
            self._top = top
            _held.append(self)
            if len(_held) > _MOST_OPEN:
                _held.popleft()._let_go()
        return top

    def _let_go(self) -> None:
        self._top = self._last = None

    def _named(self, error: OSError, path: str) -> OSError:
        error.filename = f"{self.path}/{path}" if path else self.path
        return error


_held: deque[Root] = deque()
"""Roots that hold descriptors without need, those that were opened first at the front."""


def _single(name: str) -> str:
    if name in _NO_NAMES or "/" in name:
        raise OSError(errno.EINVAL, "not a single name", name)
    return name
