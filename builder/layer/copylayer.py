"""COPY, ADD and WORKDIR: plans of one layer each, with what their cache keys consist of.

    plan_copy / plan_mkdir  ──▶  plan.key_parts(...)   (no hit?)  ──▶  plan.write(diff_dir), or plan.pack(...)

A plan sees its parent only through `Destination`, whose facts are part of the key: the same layer serves every parent
that looks the same where the copy lands. Semantics are those of BuildKit's file operations, observed on it.
"""

from __future__ import annotations

import os
import posixpath
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

from builder.golang.paths import clean_beneath
from builder.layer.destination import NEW_DIRECTORY_MODE, Destination
from builder.layer.overlay import XattrPrefix
from builder.layer.placement import Placement, Step
from builder.layer.selection import select
from builder.layer.taken import ContentDigests, Taken
from builder.layer.tree import FileTree
from builder.layer.users import resolve_owner
from builder.oci import BlobForm
from builder.plan.vertices import Copy, InlineFile, MakeDirectory

if TYPE_CHECKING:
    from builder.layer.pack import Packed


class CopyPlan:
    """The layer of a COPY or ADD; made by `plan_copy`."""

    def __init__(self, op: Copy, taken: Taken, placement: Placement, owner: tuple[int, int] | None) -> None:
        self.op = op
        self.taken = taken
        self._placement = placement
        self._owner = owner

    def key_parts(self, contents: ContentDigests) -> dict[str, object]:
        """What the cache key of this copy consists of, besides the kind of the vertex: plain JSON values.

        `files` stands for everything that is taken, `parent` for what is seen of the parent. Opens those files that
        `contents` does not know yet, also those of the parent that may be what is copied over them.
        """
        op = self.op
        return {
            "files": self.taken.digest(contents),
            "words": [[posixpath.basename(clean_beneath(path)) for path in source.paths] for source in op.sources],
            "unpack": [source.unpack for source in op.sources],
            "destination": op.destination,
            "parent": self._placement.facts(contents),
            "owner": self._owner,
            "mode": op.mode,
            "exclude": list(op.exclude),
            "parents": op.parents,
        }

    def manifest(self, contents: ContentDigests) -> list[tuple[str, str]]:
        """What the key part `files` stands for: (path in its source, description), to say which file differs."""
        return self.taken.manifest(contents)

    def write(self, diff_dir: str, *, parent: FileTree | None = None, now_ns: int | None = None,
              xattr_prefix: XattrPrefix = "trusted", cancelled: threading.Event | None = None) -> None:
        """Make the layer in the empty directory `diff_dir`, in overlayfs form, over the parent that was planned for.

        What `key_parts`, if it was asked, found in the parent is left out where its time is the same too.
        New directories get `now_ns` (default: the time of writing). Raises SourceChanged if a file is not what it was
        when the plan was made, LayerNotWritten, for archives what `extract_archive` raises, and Cancelled soon after
        the event is set. Nothing outside `diff_dir` is touched.
        """
        from builder.layer.writing import Writer

        writer = Writer(diff_dir, now_ns, cancelled)
        for step in self._placement.steps():
            writer.write(step.items)
            if step.unpack is not None:
                writer.unpack(step.unpack, None if self.op.link else parent, self._owner, xattr_prefix)

    def pack(self, root_dir: str, sink: BinaryIO, form: BlobForm, *, now_ns: int | None = None) -> Packed | None:
        """Write the layer's blob to `sink` without making its directory; None, with nothing done, where that needs one.

        The empty directory `root_dir` becomes what the layer's own would be: a blob does not tell the attributes of
        `/`. The blob is that of the directory that `write` makes. Raises as `write` does.
        """
        from builder.layer.packplan import has_plain_directories, pack_items
        from builder.layer.writing import Writer

        steps = self._placement.steps()
        if any(step.unpack for step in steps):
            return None
        items = [item for step in steps for item in step.items]
        if not has_plain_directories(items):
            return None
        now_ns = time.time_ns() if now_ns is None else now_ns
        Writer(root_dir, now_ns).write(tuple(item for item in items if not item.path))
        return pack_items(items, sink, form, now_ns=now_ns)


class MkdirPlan:
    """The layer of a WORKDIR; made by `plan_mkdir`."""

    def __init__(self, op: MakeDirectory, step: Step, facts: dict[str, str], owner: tuple[int, int]) -> None:
        self.op = op
        self._step = step
        self._facts = facts
        self._owner = owner

    def key_parts(self) -> dict[str, object]:
        """What the cache key of this WORKDIR consists of, besides the kind of the vertex: plain JSON values."""
        return {"path": self.op.path, "parent": self._facts, "owner": self._owner}

    def write(self, diff_dir: str, *, parent: FileTree | None = None, now_ns: int | None = None) -> None:
        """Make the layer in the empty directory `diff_dir`, as CopyPlan.write does. Raises LayerNotWritten."""
        from builder.layer.writing import Writer

        Writer(diff_dir, now_ns).write(self._step.items)


def plan_copy(op: Copy, trees: Sequence[FileTree], parent: FileTree | None) -> CopyPlan:
    """The layer that `op` makes over `parent` (None for scratch); `trees` holds one tree for each of its sources.

    Raises SourceMissing, BadSourcePattern, CannotCopy, TooManyLinks, UnknownUser, UnknownGroup, BadMode.
    """
    matches = tuple(tuple(select(source, tree, op)) for source, tree in zip(op.sources, trees, strict=True))
    below = None if op.link else parent
    owner = resolve_owner(op.owner, below) if op.owner is not None else None
    placement = Placement(op, below, owner)
    for source, tree, found in zip(op.sources, trees, matches, strict=True):
        for match in found:
            placement.copy(source, tree, match)
    return CopyPlan(op, Taken(op.sources, tuple(trees), matches), placement, owner)


def plan_mkdir(op: MakeDirectory, parent: FileTree | None) -> MkdirPlan:
    """The layer of a WORKDIR: the missing directories, owned by the user; nothing where the directory exists.

    A user that the image does not know counts as root. Raises CannotCopy, TooManyLinks.
    """
    owner = resolve_owner(op.user, parent, strict=False) if op.user else (0, 0)
    destination = Destination(parent)
    destination.make_directories("", NEW_DIRECTORY_MODE, owner)
    destination.make_directories(destination.resolve(clean_beneath(op.path)), NEW_DIRECTORY_MODE, owner)
    untouched = destination.untouched()
    items = tuple(item for path, item in destination.items.items() if path not in untouched)
    return MkdirPlan(op, Step(items), destination.all_facts(), owner)


def write_inline(files: Sequence[InlineFile], directory: str) -> None:
    """Write the bodies of here-documents into an empty directory, which as a tree is what their COPY takes from."""
    for file in files:
        path = os.path.join(directory, clean_beneath(file.name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "x", encoding="utf-8", errors="surrogateescape", newline="") as target:
            os.fchmod(target.fileno(), file.mode)
            target.write(file.content)
