"""COPY, ADD and WORKDIR: plans of one layer each, with what their cache keys consist of.

    plan_copy / plan_mkdir  ──▶  plan.key_parts(...)   (no hit?)  ──▶  plan.write(diff_dir)

A plan sees its parent only through `Destination`, whose facts are part of the key: the same layer serves every parent
that looks the same where the copy lands. Semantics are those of BuildKit's file operations, observed on it.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from builder.layer.destination import NEW_DIRECTORY_MODE, CannotCopy, Destination, Item
from builder.layer.modes import ModeChange, octal_mode, parse_mode
from builder.layer.overlay import XattrPrefix
from builder.layer.selection import Match, clean, select
from builder.layer.tree import Entry, FileTree
from builder.layer.users import resolve_owner
from builder.plan.vertices import Copy, CopySource, InlineFile, MakeDirectory


class ContentDigests(Protocol):
    """Fingerprints of files: equal for equal content and equal file capabilities."""

    def digests(self, entries: Sequence[Entry]) -> list[bytes]:
        """One for each of the regular files `entries`. Raises ContextError for one that cannot be read."""
        ...


class _Row(msgspec.Struct, frozen=True, array_like=True):
    """What the key holds of one entry that is taken."""

    source: int
    name: bytes
    """The last component of the source as written."""
    path: bytes
    """Below the match."""
    mode: int
    uid: int
    gid: int
    payload: bytes
    """A file's fingerprint, a link's target, a device's number."""
    first_name: bytes
    """For a further name of the same file: the first one."""


class Unpack(msgspec.Struct, frozen=True):
    """An archive whose members go into the directory `path` of the layer."""

    archive: Entry
    path: str


class Step(msgspec.Struct, frozen=True):
    """Part of a layer's making: the archives come after `items` and before the items of the next step."""

    items: tuple[Item, ...]
    unpack: Unpack | None = None


class LayerPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A layer that can be written, and what it depends on of its parent."""

    steps: tuple[Step, ...]
    facts: dict[str, str]
    """About the parent, by path; they determine what the layer takes from it."""
    owner: tuple[int, int] | None

    def write(self, diff_dir: str, *, parent: FileTree | None = None, now_ns: int | None = None,
              xattr_prefix: XattrPrefix = "trusted") -> None:
        """Make the layer in the empty directory `diff_dir`, in overlayfs form, over the parent that was planned for.

        New directories get `now_ns` (default: the time of writing). Raises SourceChanged if a file is not what it was
        when the plan was made, LayerNotWritten, and for archives what `extract_archive` raises. Nothing outside
        `diff_dir` is touched.
        """
        from builder.layer.writing import Writer

        writer = Writer(diff_dir, now_ns)
        for step in self.steps:
            writer.write(step.items)
            if step.unpack is not None:
                writer.unpack(step.unpack, parent, self.owner, xattr_prefix)


class CopyPlan(LayerPlan, frozen=True, kw_only=True):
    op: Copy
    sources: tuple[tuple[Match, ...], ...]
    """What each source of the op takes."""
    trees: tuple[FileTree, ...]

    def key_parts(self, contents: ContentDigests) -> dict[str, object]:
        """What the cache key of this copy consists of, besides the kind of the vertex: plain JSON values.

        `files` stands for everything that is taken: names, types, modes, owners, bytes; no times. Opens files that
        `contents` does not know yet.
        """
        return {
            "files": hashlib.sha256(msgspec.msgpack.encode(self._rows(contents))).hexdigest(),
            "words": [[posixpath.basename(clean(path)) for path in source.paths] for source in self.op.sources],
            "destination": self.op.destination,
            "parent": self.facts,
            "owner": self.owner,
            "mode": self.op.mode,
            "exclude": list(self.op.exclude),
            "parents": self.op.parents,
        }

    def manifest(self, contents: ContentDigests) -> list[tuple[str, str]]:
        """What `files` stands for, as (path in its source, description) pairs that differ where an entry differs."""
        return [
            (entry.path, f"{row.mode:o} {row.uid}:{row.gid} {(row.payload + row.first_name).hex()}")
            for (_, _, _, entry), row in zip(self._taken(), self._rows(contents), strict=True)
        ]

    def _rows(self, contents: ContentDigests) -> list[_Row]:
        digests = iter(contents.digests([entry for _, _, _, entry in self._taken() if entry.is_file]))
        names: dict[tuple[int, int], bytes] = {}
        rows: list[_Row] = []
        for source, match, relative, entry in self._taken():
            if not relative:
                names.clear()
            status = entry.stat
            mode, uid, gid = status.st_mode, status.st_uid, status.st_gid
            path = os.fsencode(relative)
            payload = first_name = b""
            if entry.is_file:
                payload = next(digests)
                if status.st_nlink > 1:
                    first_name = names.setdefault((status.st_dev, status.st_ino), path)
            elif entry.is_link:
                payload = os.fsencode(os.readlink(entry.host))
            elif not entry.is_dir:
                payload = str(status.st_rdev).encode()
            elif not relative and not self.op.sources[source].literal:
                mode, uid, gid = stat.S_IFDIR, 0, 0
            if self.trees[source].root_owned:
                uid = gid = 0
            rows.append(_Row(source, os.fsencode(match.name), path, mode, uid, gid, payload, first_name))
        return rows

    def _taken(self) -> Iterator[tuple[int, Match, str, Entry]]:
        """Position of the source, match, path below the match ("" for itself first), entry."""
        for source, matches in enumerate(self.sources):
            for match in matches:
                yield source, match, "", match.entry
                for selected in match.contents:
                    yield source, match, selected.path, selected.entry


class MkdirPlan(LayerPlan, frozen=True, kw_only=True):
    op: MakeDirectory

    def key_parts(self) -> dict[str, object]:
        """What the cache key of this WORKDIR consists of, besides the kind of the vertex: plain JSON values."""
        return {"path": self.op.path, "parent": self.facts, "owner": self.owner}


def plan_copy(op: Copy, trees: Sequence[FileTree], parent: FileTree | None) -> CopyPlan:
    """The layer that `op` makes over `parent` (None for scratch); `trees` holds one tree for each of its sources.

    Raises SourceMissing, BadSourcePattern, CannotCopy, TooManyLinks, UnknownUser, UnknownGroup, BadMode.
    """
    sources = tuple(tuple(select(source, tree, op)) for source, tree in zip(op.sources, trees, strict=True))
    below = None if op.link else parent
    owner = resolve_owner(op.owner, below) if op.owner is not None else None
    copier = _Copier(op, Destination(below), owner)
    for source, tree, matches in zip(op.sources, trees, sources, strict=True):
        for match in matches:
            copier.copy(source, tree, match)
    return CopyPlan(op=op, sources=sources, trees=tuple(trees), owner=owner, facts=copier.destination.facts,
                    steps=copier.steps())


def plan_mkdir(op: MakeDirectory, parent: FileTree | None) -> MkdirPlan:
    """The layer of a WORKDIR: the missing directories, owned by the user; nothing where the directory exists.

    A user that the image does not know counts as root. Raises CannotCopy, TooManyLinks.
    """
    owner = resolve_owner(op.user, parent, strict=False) if op.user else (0, 0)
    destination = Destination(parent)
    destination.make_directories("", NEW_DIRECTORY_MODE, owner)
    path = destination.resolve(clean(op.path))
    exists = destination.at(path) is not None
    destination.make_directories(path, NEW_DIRECTORY_MODE, owner)
    items = (destination.items[""],) if exists else tuple(destination.items.values())
    return MkdirPlan(op=op, owner=owner, facts=destination.facts, steps=(Step(items),))


def write_inline(files: Sequence[InlineFile], directory: str) -> None:
    """Write the bodies of here-documents into an empty directory, which as a tree is what their COPY takes from."""
    for file in files:
        path = os.path.join(directory, clean(file.name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "x", encoding="utf-8", errors="surrogateescape", newline="") as target:
            os.fchmod(target.fileno(), file.mode)
            target.write(file.content)


class _Copier:
    """Plays a Copy through on a Destination."""

    def __init__(self, op: Copy, destination: Destination, owner: tuple[int, int] | None) -> None:
        self.destination = destination
        self._owner = owner
        self._change: ModeChange | None = parse_mode(op.mode) if op.mode else None
        octal = octal_mode(op.mode) if op.mode else None
        self._new_mode = NEW_DIRECTORY_MODE if octal is None else octal & 0o777
        self._path = clean(op.destination)
        self._is_directory = not self._path or op.destination.endswith(("/", "/."))
        self._steps: list[Step] = []
        self._written = 0
        self._copied_trees = 0
        destination.make_directories("", NEW_DIRECTORY_MODE, (0, 0))

    def steps(self) -> tuple[Step, ...]:
        self._end_step(None)
        return tuple(self._steps)

    def copy(self, source: CopySource, tree: FileTree, match: Match) -> None:
        if source.unpack and match.entry.is_file and self._unpack(match.entry):
            return
        self._copied_trees += 1
        self._make_parents(self._path if self._is_directory else posixpath.dirname(self._path))
        target = self.destination.resolve(self._path)
        if match.entry.is_dir:
            self._copy_directory(source, tree, match, target)
        else:
            self._copy_file(tree, match, target)

    def _copy_file(self, tree: FileTree, match: Match, target: str) -> None:
        found = self.destination.at(target)
        if found is not None and found.is_dir:
            target = posixpath.join(target, match.name)
        self._make_parents(posixpath.dirname(target))
        self.destination.put(self._item(target, tree, match.entry))

    def _copy_directory(self, source: CopySource, tree: FileTree, match: Match, target: str) -> None:
        found = self.destination.at(target)
        if source.literal and found is not None:
            target = posixpath.join(target, match.name)
            found = self.destination.at(target)
        if found is not None and not found.is_dir:
            raise CannotCopy(f"cannot copy to non-directory: `/{target}`")
        if source.literal and found is None:
            self._make_parents(posixpath.dirname(target))
            self.destination.put_directory(self._item(target, tree, match.entry))
        else:
            self._make_parents(target)
            self.destination.set_mtime(target, match.entry.stat.st_mtime_ns)
        for selected in match.contents:
            item = self._item(posixpath.join(target, selected.path), tree, selected.entry)
            if not item.is_dir:
                self.destination.put(item)
            elif selected.implied:
                self.destination.imply_directory(item, selected.entry.stat.st_mode)
            else:
                self.destination.put_directory(item)

    def _make_parents(self, path: str) -> None:
        self.destination.make_directories(self.destination.resolve(path), self._new_mode, self._owner or (0, 0))

    def _item(self, path: str, tree: FileTree, entry: Entry) -> Item:
        status = entry.stat
        kind, bits = stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode)
        if kind == stat.S_IFSOCK:
            kind = stat.S_IFREG
        if self._change is not None and kind != stat.S_IFLNK:
            bits = self._change(bits, kind == stat.S_IFDIR)
        uid, gid = self._owner or ((0, 0) if tree.root_owned else (status.st_uid, status.st_gid))
        linked = (self._copied_trees, status.st_ino) if status.st_nlink > 1 and kind != stat.S_IFDIR else None
        return Item(path=path, mode=kind | bits, uid=uid, gid=gid, mtime_ns=status.st_mtime_ns, source=entry,
                    linked=linked, keeps_capability=not tree.root_owned)

    def _unpack(self, entry: Entry) -> bool:
        """Plan the unpacking of a file if it is an archive."""
        from builder.layer.archive import is_archive

        if not is_archive(entry.host):
            return False
        path = self.destination.resolve(self._path)
        self.destination.make_directories(path, NEW_DIRECTORY_MODE, self._owner or (0, 0))
        self.destination.watch_below(path)
        self._end_step(Unpack(entry, path))
        return True

    def _end_step(self, unpack: Unpack | None) -> None:
        if not self._steps and unpack is None:
            self.destination.drop_untouched()
        items = tuple(self.destination.items.values())
        self._steps.append(Step(items[self._written :], unpack))
        self._written = len(items)
