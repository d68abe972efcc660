"""Where a COPY puts things: the new layer as it takes shape over its parent.

Copying is first played through here, in memory. The parent is looked at only through `Destination`, and everything that
it contributes to the layer is written down as a *fact*; two parents with equal facts get equal layers. What cannot be
done (a file over a directory, a directory over a file) is refused here, so a plan that exists can be written.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterator, Set

import msgspec

from builder.errors import ContextError
from builder.hashing import sha256
from builder.layer.resolution import canonical
from builder.layer.tree import Entry, FileTree, shown

NEW_DIRECTORY_MODE = 0o755
_OF_THE_HOST = ("trusted.overlay.", "user.overlay.", "user.builder.", "security.")
"""Attributes of directories that belong to the store's machinery or to the host's security module, not to an image."""


class CannotCopy(ContextError):
    """The destination is of a kind that the source cannot replace."""

    code = "copy-conflict"


class Item(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One entry of the new layer."""

    path: str
    mode: int
    """Type and permission bits, as in st_mode."""
    uid: int
    gid: int
    mtime_ns: int | None
    """None for the time of writing."""
    source: Entry | None = None
    """Where bytes, link target and device number come from; None for a directory of the destination."""
    keeps_capability: bool = False
    """BuildKit loses the capabilities of files of a build context, and keeps those of files of images."""
    below: Entry | None = None
    """The parent's directory at this path, whose extended attributes stay."""
    linked: tuple[int, int, int] | None = None
    """Equal for the names of one file: (number of the copied tree, device, inode)."""

    @property
    def is_dir(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.mode)

    def readlink(self) -> str:
        assert self.source is not None
        return self.source.readlink()


class Destination:
    """A layer under construction. `parent` is None for a layer that looks at nothing (scratch, --link)."""

    def __init__(self, parent: FileTree | None) -> None:
        self.items: dict[str, Item] = {}
        """By path; parents before what is in them."""
        self.facts: dict[str, str] = {}
        """What the layer takes from its parent, by path, in words."""
        self._covered: dict[str, Entry] = {}
        """The parent's files, links and devices over which something was put, by path."""
        self._parent = parent
        self._needed = {""}
        """Directories that stay although the layer has nothing in them yet."""

    def at(self, path: str) -> Item | Entry | None:
        """What is at a canonical path: planned so far, else in the parent."""
        item = self.items.get(path)
        if item is not None or self._parent is None:
            return item
        above = self.items.get(path.rpartition("/")[0]) if path else None
        if above is not None and above.below is None:
            return None
        return self._parent.lstat(path)

    def resolve(self, path: str) -> str:
        """Canonical form of a destination path, links followed inside the image. Raises TooManyLinks."""
        return canonical(self.at, path)

    def make_directories(self, path: str, mode: int, owner: tuple[int, int]) -> None:
        """The directory at a canonical path and its parents; new ones get `mode` and `owner`. Raises CannotCopy."""
        for prefix in _with_parents(path):
            found = self.at(prefix)
            if found is None:
                self._create(prefix, mode if prefix else NEW_DIRECTORY_MODE, owner if prefix else (0, 0))
                self.touch(posixpath.dirname(prefix))
            elif not found.is_dir:
                raise CannotCopy(f"mkdir `/{prefix}`: not a directory")
            elif not isinstance(found, Item):
                self._keep(found)

    def put(self, item: Item) -> None:
        """A file, link or device, replacing what is there. Raises CannotCopy over a directory."""
        found = self.at(item.path)
        if found is not None and found.is_dir:
            raise CannotCopy(f"cannot replace directory `/{item.path}` with a file")
        if isinstance(found, Entry):
            self._covered[item.path] = found
        self.items[item.path] = item

    def put_directory(self, item: Item) -> None:
        """A directory with its own attributes, merged with what is there. Raises CannotCopy over anything else."""
        found = self.at(item.path)
        if found is None:
            self.items[item.path] = item
            return
        if not found.is_dir:
            raise CannotCopy(f"cannot copy to non-directory: `/{item.path}`")
        below = found.below if isinstance(found, Item) else found
        if below is not None and (xattrs := _xattr_digest(below)):
            self._note(item.path, f"xattrs {xattrs}")
        self.items[item.path] = msgspec.structs.replace(item, below=below)

    def imply_directory(self, item: Item, source_mode: int) -> None:
        """A directory that something below it needs: new ones are as `item`, existing ones only get `source_mode`.

        What is put into it comes after its time was set.
        """
        found = self.at(item.path)
        if found is None:
            self.items[item.path] = msgspec.structs.replace(item, mtime_ns=None)
            return
        if not found.is_dir:
            raise CannotCopy(f"cannot copy to non-directory: `/{item.path}`")
        if not isinstance(found, Item):
            self._keep(found)
        self.items[item.path] = msgspec.structs.replace(self.items[item.path], mode=source_mode, mtime_ns=None)

    def set_mtime(self, path: str, mtime_ns: int | None) -> None:
        """Of a directory that is planned already."""
        self.items[path] = msgspec.structs.replace(self.items[path], mtime_ns=mtime_ns)

    def touch(self, path: str) -> None:
        """Something was put into the directory `path`, which is planned already, after it got its time."""
        if self.items[path].mtime_ns is not None:
            self.set_mtime(path, None)

    def covering(self) -> Iterator[tuple[Item, Entry]]:
        """What lies over something of the parent that has the same type, mode, owner, size and device number."""
        for path, below in self._covered.items():
            item, status = self.items[path], below.stat
            assert item.source is not None
            copied = item.source.stat
            if (item.mode, item.uid, item.gid, stat.S_IFMT(copied.st_mode), copied.st_size, copied.st_rdev) == (
                    status.st_mode, status.st_uid, status.st_gid, stat.S_IFMT(status.st_mode), status.st_size,
                    status.st_rdev):
                yield item, below

    def untouched(self, left_out: Set[str] = frozenset()) -> set[str]:
        """The directories that the layer would hold for nothing, once it does not hold `left_out`: as the parent's,
        with nothing new in them. BuildKit's layers leave them out too, whatever time the copy gave them.
        """
        needed = self._needed.copy()
        untouched = set()
        for path, item in reversed(self.items.items()):
            below = item.below
            if path in left_out:
                continue
            if path not in needed and below is not None and (item.mode, item.uid, item.gid) == (
                below.stat.st_mode, below.stat.st_uid, below.stat.st_gid
            ):
                untouched.add(path)
            elif path:
                needed.add(path.rpartition("/")[0])
        return untouched

    def all_facts(self, same: Set[str] = frozenset()) -> dict[str, str]:
        """`facts`, and what lets the layer leave out directories, and the files at `same` if their times are equal."""
        facts = self.facts | {shown(path): "as it is copied" for path in same}
        for path in self.untouched(same):
            facts[shown(path)] = f"{facts.get(shown(path), '')} unchanged".strip()
        return facts

    def _note(self, path: str, fact: str) -> None:
        self.facts[shown(path)] = fact

    def _keep(self, entry: Entry) -> None:
        """A directory of the parent that the layer has to hold: overlayfs shows the attributes of the topmost one."""
        status = entry.stat
        xattrs = _xattr_digest(entry)
        attributes = f"{stat.S_IMODE(status.st_mode):04o} {status.st_uid}:{status.st_gid}"
        self._note(entry.path, f"directory {attributes}" + (f" xattrs {xattrs}" if xattrs else ""))
        self.items[entry.path] = Item(path=entry.path, mode=status.st_mode, uid=status.st_uid, gid=status.st_gid,
                                      mtime_ns=status.st_mtime_ns, below=entry)

    def _create(self, path: str, mode: int, owner: tuple[int, int]) -> None:
        self._note(path, "absent")
        self.items[path] = Item(path=path, mode=stat.S_IFDIR | mode, uid=owner[0], gid=owner[1], mtime_ns=None)

    def is_empty(self, path: str) -> bool:
        """Whether nothing is in the planned directory `path`, neither of the parent nor of this layer."""
        if self.items[path].below is not None and self._parent is not None and self._parent.children(path):
            return False
        prefix = f"{path}/" if path else ""
        return not any(other.startswith(prefix) and other != path for other in self.items)

    def need(self, path: str) -> None:
        """Something will be put into the directory `path`."""
        self._needed.add(path)

    def watch_below(self, path: str) -> None:
        """Make facts of the parent's directories and links below `path`: an archive's members may meet any of them."""
        if self._parent is None:
            return
        import hashlib

        digest = hashlib.sha256()
        for entry in self._parent.walk(path):
            if not (entry.is_dir or entry.is_link):
                continue
            status = entry.stat
            target = entry.readlink() if entry.is_link else ""
            row = (entry.path, status.st_mode, status.st_uid, status.st_gid, target, _xattr_digest(entry))
            digest.update(os.fsencode(repr(row)) + b"\n")
        self._note(posixpath.join(path, "**"), f"directories and links {digest.hexdigest()[:32]}")


def _with_parents(path: str) -> list[str]:
    parts = path.split("/") if path else []
    return ["/".join(parts[:depth]) for depth in range(len(parts) + 1)]


def kept_xattrs(entry: Entry) -> dict[str, bytes]:
    """The extended attributes of a directory of the parent that belong to the image."""
    if entry.is_link:
        return {}
    names = entry.root.listxattr(entry.path)
    return {name: entry.root.getxattr(entry.path, name) for name in sorted(names)
            if not name.startswith(_OF_THE_HOST)}


def _xattr_digest(entry: Entry) -> str:
    """"" if there are none to keep."""
    kept = kept_xattrs(entry)
    return sha256(repr(kept).encode()).hexdigest()[:16] if kept else ""
