"""A stack of layers seen as one tree, as overlayfs would show it, without mounting anything.

A layer directory holds whiteouts (a removed name) and opaque directories (nothing of the layers below shows through);
both are invisible here. What a directory consists of is looked up once and remembered, so the layers must not change
while a view is in use. https://docs.kernel.org/filesystems/overlayfs.html
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from functools import cache

import msgspec

from builder.errors import ImageError
from builder.layer.overlay import is_opaque, is_whiteout, read_xattrs
from builder.layer.resolution import TooManyLinks, canonical
from builder.layer.tree import Entry
from builder.rooted.root import Root

ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG})


class FileTooLarge(ImageError):
    code = "file-too-large"

    def __init__(self, path: str, limit: int) -> None:
        super().__init__(f"`/{path}` is larger than {limit} bytes")


class _Directory(msgspec.Struct, frozen=True):
    entry: Entry
    roots: tuple[Root, ...]
    """The layers in which it is made up, the top one first; their own opaqueness is taken into account."""


class MergedView:
    """The file tree of a stack of layer directories, given bottom first; an empty stack is an empty tree.

    Entries of one file that has several names in its layer share `st_dev` and `st_ino`. `recorded_owners`: owners that
    a store could not give to its files are believed where they were recorded (see overlay.py); by default in those
    processes that cannot give files away themselves.
    """

    root_owned = False

    def __init__(self, layers: Sequence[str | Root], *, recorded_owners: bool | None = None) -> None:
        self._recorded_owners = has_one_owner_only() if recorded_owners is None else recorded_owners
        roots = tuple(layer if isinstance(layer, Root) else Root(layer) for layer in reversed(layers))
        self._directories: dict[str, _Directory | None] = {"": self._root(roots)}

    def _root(self, roots: tuple[Root, ...]) -> _Directory | None:
        for position, root in enumerate(roots):
            if is_opaque(root, ""):
                roots = roots[: position + 1]
                break
        return _Directory(self._entry("", roots[0], roots[0].lstat("")), roots) if roots else None

    # -- FileTree ------------------------------------------------------------------------------------------------

    def lstat(self, path: str) -> Entry | None:
        try:
            return self._at(canonical(self._at, path, follow_last=False))
        except TooManyLinks:
            return None

    def children(self, path: str) -> list[Entry]:
        directory = self._directory_of(path)
        return self._list(directory) if directory else []

    def walk(self, path: str) -> Iterator[Entry]:
        directory = self._directory_of(path)
        pending = list(reversed(self._list(directory))) if directory else []
        while pending:
            entry = pending.pop()
            yield entry
            if entry.is_dir and (directory := self._directory(entry.path)):
                pending.extend(reversed(self._list(directory)))

    # -- reading --------------------------------------------------------------------------------------------------

    def resolve(self, path: str) -> Entry | None:
        """What `path` means, a link in its last component followed too, inside this tree; None if there is nothing."""
        try:
            return self._at(canonical(self._at, path))
        except TooManyLinks:
            return None

    def read_link(self, path: str) -> str | None:
        """The target of the symbolic link at `path`, as written; None if it is no link."""
        entry = self.lstat(path)
        return entry.readlink() if entry is not None and entry.is_link else None

    def read_file(self, path: str, limit: int = 10 << 20) -> bytes | None:
        """The content of the regular file that `path` leads to; None if it leads to none.

        Raises FileTooLarge beyond `limit` bytes.
        """
        entry = self.resolve(path)
        return read_entry(entry, limit) if entry is not None and entry.is_file else None

    # -- merging --------------------------------------------------------------------------------------------------

    def _at(self, path: str) -> Entry | None:
        """The entry at a canonical path."""
        if not path:
            root = self._directories[""]
            return root.entry if root else None
        parent = path.rpartition("/")[0]
        directory = self._directory(parent)
        if directory is None:
            return None
        known = self._directories.get(path)
        if known is not None:
            return known.entry
        return self._look_up(directory, path)

    def _directory_of(self, path: str) -> _Directory | None:
        try:
            return self._directory(canonical(self._at, path, follow_last=False))
        except TooManyLinks:
            return None

    def _directory(self, path: str) -> _Directory | None:
        """The directory at a canonical path, or None."""
        if path in self._directories:
            return self._directories[path]
        self._directories[path] = None
        parent = path.rpartition("/")[0]
        directory = self._directory(parent)
        if directory is not None:
            self._look_up(directory, path)
        return self._directories[path]

    def _look_up(self, parent: _Directory, path: str) -> Entry | None:
        """Find what is at `path` in the layers of `parent`, from the top; a directory goes on down while it merges."""
        roots: list[Root] = []
        top: Entry | None = None
        last = len(parent.roots) - 1
        for position, root in enumerate(parent.roots):
            try:
                status = root.lstat(path)
            except OSError as error:
                if error.errno in ABSENT:
                    continue
                raise
            if is_whiteout(status):
                break
            if not stat.S_ISDIR(status.st_mode):
                return self._entry(path, root, status) if top is None else self._remember(top, roots)
            top = top or self._entry(path, root, status)
            roots.append(root)
            if position != last and is_opaque(root, path):
                break
        return self._remember(top, roots) if top else None

    def _entry(self, path: str, root: Root, status: os.stat_result) -> Entry:
        if self._recorded_owners and stat.S_IFMT(status.st_mode) in (stat.S_IFREG, stat.S_IFDIR):
            owner = read_xattrs(root, path).owner
            if owner is not None:
                status = _with_owner(status, *owner)
        return Entry(path, root, status)

    def _remember(self, entry: Entry, roots: list[Root]) -> Entry:
        self._directories[entry.path] = _Directory(entry, tuple(roots))
        return entry

    def _list(self, directory: _Directory) -> list[Entry]:
        """The children of a directory, sorted; what the subdirectories consist of is remembered on the way."""
        base = directory.entry.path
        prefix = f"{base}/" if base else ""
        tops: dict[str, Entry | None] = {}
        merging: dict[str, list[Root]] = {}
        for root in directory.roots:
            ended = {name for name in tops if name not in merging}
            opened = root.directory(base)
            for name in opened.names():
                if name in ended:
                    continue
                status = opened.lstat(name)
                if name in merging:
                    if not stat.S_ISDIR(status.st_mode) or is_opaque(merging[name][-1], prefix + name):
                        self._remember_merged(tops[name], merging.pop(name))
                    else:
                        merging[name].append(root)
                elif is_whiteout(status):
                    tops[name] = None
                else:
                    tops[name] = self._entry(prefix + name, root, status)
                    if stat.S_ISDIR(status.st_mode):
                        merging[name] = [root]
        for name, roots in merging.items():
            self._remember_merged(tops[name], roots)
        return [entry for _, entry in sorted((os.fsencode(name), entry) for name, entry in tops.items() if entry)]

    def _remember_merged(self, entry: Entry | None, roots: list[Root]) -> None:
        assert entry is not None
        self._remember(entry, roots)


def read_entry(entry: Entry, limit: int) -> bytes:
    """The content of a regular file of a tree, at most `limit` bytes, else FileTooLarge."""
    with open(entry.open(), "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise FileTooLarge(entry.path, limit)
    return content


def _with_owner(status: os.stat_result, uid: int, gid: int) -> os.stat_result:
    fields = list(status)
    fields[4:6] = uid, gid
    kept = ("st_atime_ns", "st_mtime_ns", "st_ctime_ns", "st_blocks", "st_blksize", "st_rdev")
    return os.stat_result(fields, {name: getattr(status, name) for name in kept})


@cache
def has_one_owner_only() -> bool:
    """Whether chown to other ids cannot work here: no privilege, or a user namespace with a single user."""
    if os.geteuid() != 0:
        return True
    try:
        with open("/proc/self/uid_map", encoding="ascii") as ranges:
            return sum(int(line.split()[2]) for line in ranges) == 1
    except OSError:
        return False
