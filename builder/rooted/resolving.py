"""Paths that may lead through links, resolved inside a root directory whose content is hostile.

Every component is looked up by itself relative to a held descriptor and never followed by the kernel; links are read
and resolved here, `..` goes back to the descriptor above. So no link, and no process that swaps one, leads outside.
"""

from __future__ import annotations

import errno
import os
import stat

from builder.rooted.root import LOOK, MAX_LINKS


class Place:
    """Where a path leads: `fd` is the deepest existing directory or file on the way, `missing` the rest."""

    __slots__ = ("fd", "found", "missing")

    def __init__(self, fd: int, found: tuple[str, ...], missing: tuple[str, ...]) -> None:
        self.fd = fd
        self.found = found
        self.missing = missing

    @property
    def names(self) -> tuple[str, ...]:
        """The path itself, free of links, relative to the root."""
        return self.found + self.missing


def walk(root: int, path: str) -> Place:
    """Resolves `path` inside `root`, all links included. The caller closes `Place.fd`.

    Raises NotADirectoryError when a file is in the way, OSError (ELOOP) for too many links.
    """
    fds, links = [os.dup(root)], 0
    names: list[str] = []
    missing: list[str] = []
    todo = path.split("/")[::-1]
    try:
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if name == "..":
                if missing:
                    missing.pop()
                elif names:
                    if not is_directory(fds[-1]):
                        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
                    names.pop()
                    os.close(fds.pop())
                continue
            if missing:
                missing.append(name)
                continue
            try:
                fd = os.open(name, LOOK, dir_fd=fds[-1])
            except FileNotFoundError:
                missing.append(name)
                continue
            if not stat.S_ISLNK(os.fstat(fd).st_mode):
                fds.append(fd)
                names.append(name)
                continue
            target = os.readlink("", dir_fd=fd)
            os.close(fd)
            links += 1
            if links > MAX_LINKS:
                raise OSError(errno.ELOOP, f"`{path}`: {os.strerror(errno.ELOOP)}")
            if target.startswith("/"):
                names.clear()
                while len(fds) > 1:
                    os.close(fds.pop())
            todo += target.split("/")[::-1]
        return Place(fds.pop(), tuple(names), tuple(missing))
    finally:
        for fd in fds:
            os.close(fd)


def make_directories(place: Place, *, uid: int = 0, gid: int = 0) -> int:
    """Makes what is missing as directories of mode 0755; returns the last one and takes over `place.fd`."""
    fd = place.fd
    for name in place.missing:
        os.mkdir(name, 0o755, dir_fd=fd)
        if uid or gid:
            os.chown(name, uid, gid, dir_fd=fd, follow_symlinks=False)
        inner = os.open(name, LOOK | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = inner
    return fd


def make_target(place: Place, *, directory: bool) -> int:
    """The mount point at `place`, made if it is missing; takes over `place.fd`."""
    if directory or not place.missing:
        return make_directories(place)
    parent = make_directories(Place(place.fd, place.found, place.missing[:-1]))
    name = place.missing[-1]
    os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=parent))
    spot = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    os.close(parent)
    return spot


def is_directory(fd: int) -> bool:
    return stat.S_ISDIR(os.fstat(fd).st_mode)
