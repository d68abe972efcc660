"""Paths of archive members, opened below one directory and never outside.

A path's parents are opened one component at a time, never through a link by the kernel: a link among them is read and
followed here, with the base directory as the root of all paths. `..` and absolute names stay inside likewise. Missing
parents are made, as a copy of the directory below where there is one. Nobody else may change the tree meanwhile.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from typing import TypeVar

import msgspec

from builder.errors import ImageError
from builder.golang.paths import clean_beneath
from builder.layer.destination import kept_xattrs
from builder.layer.overlay import XattrPrefix, is_whiteout, make_whiteout, set_opaque
from builder.layer.tarfields import shown_name
from builder.layer.tree import Entry, FileTree
from builder.rooted.removing import remove
from builder.rooted.root import MAX_LINKS

IMPLIED_MODE = 0o755
OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_PATH_LIMIT = 4095
_CACHED_DIRECTORIES = 200
_NOT_A_DIRECTORY = (errno.ENOTDIR, errno.ELOOP)

T = TypeVar("T")


class MemberRefused(ImageError):
    """A member that cannot become a file here, whatever the machine."""

    code = "archive-member"

    def __init__(self, name: bytes, why: str) -> None:
        super().__init__(f"archive member `{shown_name(name)}` {why}")


class Attributes(msgspec.Struct, gc=False):
    """What a directory gets in the end; without a time it keeps that of extraction."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int | None
    xattrs: dict[str, bytes] | None = None
    implied: bool = False
    """No member describes it, so it looks like the directory that the image below has there."""
    hidden: bool = False
    """Something was replaced here or above, so that nothing shows through from below any more."""
    fresh: bool = False
    """Made behind a whiteout, here or above: nothing of what is below counts."""


class Root:
    """`root_dir` with what is open of it. Names start from `base` in it, a canonical path.

    `below` is what the finished layer will lie on, None for nothing; `pulled` says that it is not known.
    """

    def __init__(
        self, root_dir: str, base: str, below: FileTree | None, xattr_prefix: XattrPrefix, *, pulled: bool
    ) -> None:
        self._base = tuple(part for part in os.fsencode(base).split(b"/") if part)
        self._below = below
        self._pulled = pulled
        self._xattr_prefix: XattrPrefix = xattr_prefix
        self._open: dict[bytes, int] = {}
        """Directories by canonical path; dropped before anything else takes their place."""
        self._parents: dict[bytes, tuple[bytes, int]] = {}
        """Canonical path and descriptor of parents as members write them, unless a link was on the way."""
        self._replaced: set[bytes] = set()
        """Canonical paths of what was removed again."""
        self.directories: dict[bytes, Attributes] = {}
        """By canonical path: those that were made or met again."""
        self._inside: dict[bytes, list[bytes]] = {}
        """Which of `directories` are in which, so that removing one costs no look at all of them."""
        self.fd = os.open(root_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        self._forget()
        os.close(self.fd)

    @property
    def implied(self) -> tuple[str, ...]:
        """Canonical paths of the directories that no member describes, whatever was at these paths before."""
        return tuple(os.fsdecode(path) for path, attributes in self.directories.items() if attributes.implied)

    def locate(self, name: bytes, *, make: bool = True) -> tuple[bytes, int, bytes]:
        """Canonical path and descriptor of the parent, and the last component, b"" for the base directory itself.

        The descriptor is valid until the next call. Raises FileNotFoundError only without `make`; MemberRefused.
        """
        if len(name) > _PATH_LIMIT:
            raise MemberRefused(name, f"has a name of more than {_PATH_LIMIT} bytes")
        parent, _, last = name.rpartition(b"/")
        if last in (b"", b".", b".."):
            parent, _, last = clean_beneath(name).rpartition(b"/")
        known = self._parents.get(parent)
        return (*known, last) if known else (*self.enter(parent, make=make, member=name), last)

    def enter(self, name: bytes, *, make: bool = True, member: bytes = b"") -> tuple[bytes, int]:
        """Canonical path and descriptor of the directory `name`, which is made with its parents if it is missing.

        What a link names is made only for a layer (as containerd does); an archive's link must lead somewhere
        (go-archive). Errors speak of `member`.
        """
        member = member or name
        done = list(self._base)
        pending = clean_beneath(name).split(b"/")[::-1]
        links = 0
        linked = len(pending)
        """What is pending from here on stands in a link's target."""
        while pending:
            if len(self._open) > _CACHED_DIRECTORIES:
                self._forget()
            part = pending.pop()
            if part in (b"", b"."):
                continue
            if part == b"..":
                del done[max(len(done) - 1, len(self._base)) :]
                continue
            done.append(part)
            path = b"/".join(done)
            try:
                target = self._step(member, path, make and (self._pulled or len(pending) < linked))
            except FileNotFoundError:
                if not make:
                    raise
                why = f"lies behind a link to `{shown_name(path)}`, which does not exist"
                raise MemberRefused(member, why) from None
            if target is None:
                continue
            links += 1
            if links > MAX_LINKS:
                raise MemberRefused(member, "lies behind too many symbolic links")
            del done[len(self._base) if target.startswith(b"/") else -1 :]
            linked = min(linked, len(pending))
            pending += target.split(b"/")[::-1]
        path = b"/".join(done)
        fd = self.descriptor(path)
        if not links:
            self._parents[name] = (path, fd)
        return path, fd

    def descriptor(self, path: bytes) -> int:
        """The open directory at a canonical path that `locate` or `enter` gave, valid until their next call."""
        if not path:
            return self.fd
        fd = self._open.get(path)
        if fd is None:
            fd = self._open[path] = os.open(path, OPEN_DIRECTORY, dir_fd=self.fd)
        return fd

    def create(self, name: bytes, make: Callable[[bytes, int], T]) -> T:
        """`make(last component, parent descriptor)`, what is in its way being removed first. Raises what it raises."""
        parent, fd, last = self.locate(name)
        if not last:
            raise MemberRefused(name, "stands for the directory itself without being one")
        try:
            return make(last, fd)
        except FileExistsError:
            self._clear(_join(parent, last), last, fd)
        return make(last, self.descriptor(parent))

    def vacate(self, name: bytes) -> tuple[bytes, bytes]:
        """Canonical path of the parent of `name`, and its last component, under which there is nothing any more."""
        parent, fd, last = self.locate(name)
        if not last:
            raise MemberRefused(name, "stands for the directory itself without being one")
        try:
            os.stat(last, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            return parent, last
        self._clear(_join(parent, last), last, fd)
        return parent, last

    def make_directory(self, name: bytes, attributes: Attributes) -> None:
        """A directory, merged with one that is there; anything else is replaced, and then hides what is below."""
        parent, fd, last = self.locate(name)
        if not last:
            self._record(parent, attributes)
            return
        path = _join(parent, last)
        try:
            os.mkdir(last, 0o700, dir_fd=fd)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(last, dir_fd=fd, follow_symlinks=False).st_mode):
                self._clear(path, last, fd)
                self._make_opaque_directory(path, last, self.descriptor(parent))
        lower = self._lower(path)
        if lower is not None and lower.is_dir:
            attributes.xattrs = kept_xattrs(lower) | (attributes.xattrs or {})
        self._record(path, attributes)

    # -- one step --------------------------------------------------------------------------------------------------

    def _step(self, member: bytes, path: bytes, make: bool) -> bytes | None:
        """Opens or makes the directory at canonical `path`; the target instead where a link is there."""
        if path in self._open:
            return None
        parent, _, last = path.rpartition(b"/")
        fd = self.descriptor(parent)
        try:
            self._open[path] = os.open(last, OPEN_DIRECTORY, dir_fd=fd)
            return None
        except FileNotFoundError:
            lower = self._lower(path)
            if lower is None and not make:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
            return self._make_parent(member, path, lower)
        except OSError as error:
            if error.errno not in _NOT_A_DIRECTORY:
                raise
        status = os.stat(last, dir_fd=fd, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            return os.readlink(last, dir_fd=fd)
        if not is_whiteout(status) or not make:
            raise MemberRefused(member, f"lies behind `{shown_name(path)}`, which is not a directory")
        self._clear(path, last, fd)
        self._make_opaque_directory(path, last, self.descriptor(parent))
        self._record(path, Attributes(IMPLIED_MODE, 0, 0, None, fresh=True))
        return None

    def _make_parent(self, member: bytes, path: bytes, lower: Entry | None) -> bytes | None:
        if lower is not None and lower.is_link:
            return os.fsencode(lower.readlink())
        if lower is not None and not lower.is_dir:
            raise MemberRefused(member, f"lies behind `{shown_name(path)}`, which is not a directory")
        parent, _, last = path.rpartition(b"/")
        os.mkdir(last, 0o700, dir_fd=self.descriptor(parent))
        if lower is None:
            self._record(path, Attributes(IMPLIED_MODE, 0, 0, None, implied=True))
        else:
            self._record(path, attributes_of(lower))
        return None

    def _record(self, path: bytes, attributes: Attributes) -> None:
        parent = path.rpartition(b"/")[0]
        above = self.directories.get(parent) if path else None
        before = self.directories.get(path)
        attributes.hidden = path in self._replaced or (above is not None and above.hidden)
        attributes.fresh |= (before is not None and before.fresh) or (above is not None and above.fresh)
        attributes.implied &= not attributes.fresh
        self.directories[path] = attributes
        if before is None and path:
            self._inside.setdefault(parent, []).append(path)

    def _make_opaque_directory(self, path: bytes, last: bytes, fd: int) -> None:
        """A directory where something else was in this very layer, so what is below is hidden for good.

        What is known to be below gets whiteouts, as BuildKit's differ has it.
        """
        os.mkdir(last, 0o700, dir_fd=fd)
        if self._pulled:
            set_opaque(self.descriptor(path), self._xattr_prefix)
        elif self._below is not None:
            for entry in self._below.children(os.fsdecode(path)):
                make_whiteout(os.fsencode(entry.path).rpartition(b"/")[2], dir_fd=self.descriptor(path))

    def _lower(self, path: bytes) -> Entry | None:
        """What shows through from below at a canonical path."""
        above = self.directories.get(path.rpartition(b"/")[0])
        if self._below is None or path in self._replaced or (above is not None and above.hidden):
            return None
        return self._below.lstat(os.fsdecode(path))

    def _clear(self, path: bytes, last: bytes, fd: int) -> None:
        """Removes what this layer has at `path`; cached descriptors are closed."""
        self._replaced.add(path)
        try:
            os.unlink(last, dir_fd=fd)
            return
        except IsADirectoryError:
            remove(fd, last)
        gone = [path]
        while gone:
            directory = gone.pop()
            self.directories.pop(directory, None)
            gone += self._inside.pop(directory, ())
        self._forget()

    def _forget(self) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()
        self._parents.clear()


def attributes_of(entry: Entry) -> Attributes:
    """Those of a directory of another layer, as far as they belong to the image."""
    status = entry.stat
    return Attributes(
        stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns, kept_xattrs(entry)
    )


def is_base(name: bytes) -> bool:
    """Whether a member's name stands for the base directory itself, like `./`."""
    return (b".." in name or not name.strip(b"./")) and not clean_beneath(name)


def _join(parent: bytes, last: bytes) -> bytes:
    return parent + b"/" + last if parent else last
