"""What differs between two stacks of layers, in the words of `docker diff`: added, changed, deleted paths.

Only what the layers that are not common to both touch is looked at, so the difference that one step made costs as much
as the step wrote. Times are no difference.
"""

from __future__ import annotations

import contextlib
import enum
import os
from collections.abc import Iterator, Sequence

import msgspec

from builder.layer.comparing import have_same_bytes
from builder.layer.overlay import read_xattrs
from builder.layer.tree import Entry
from builder.layer.view import MergedView
from builder.rooted.root import Directory, Root


class Kind(enum.StrEnum):
    ADDED = "A"
    CHANGED = "C"
    DELETED = "D"


class Change(msgspec.Struct, frozen=True):
    kind: Kind
    path: str
    """Absolute."""
    size: int = 0
    """Bytes of a regular file as it is now; of a deleted one as it was."""


def changes(before: Sequence[str], after: Sequence[str]) -> Iterator[Change]:
    """From one stack of layer directories (bottom first) to another, by path, directories before their contents.

    A directory counts as changed when something in it is. What is below a deleted directory is not listed.
    """
    common = 0
    while common < min(len(before), len(after)) and before[common] == after[common]:
        common += 1
    touched = [Root(layer).directory("") for layer in (*before[common:], *after[common:])]
    yield from _Comparison(MergedView(before), MergedView(after)).below("", touched)


class _Comparison:
    def __init__(self, before: MergedView, after: MergedView) -> None:
        self._before = before
        self._after = after

    def below(self, path: str, touched: Sequence[Directory]) -> Iterator[Change]:
        """The differences in the directory `path` of both; `touched` are the layers' directories that can make one."""
        old = {_name(entry): entry for entry in self._before.children(path)}
        new = {_name(entry): entry for entry in self._after.children(path)}
        for name in sorted({*old, *new}, key=os.fsencode):
            yield from self._entry(old.get(name), new.get(name), _subdirectories(touched, name))

    def _entry(self, old: Entry | None, new: Entry | None, touched: Sequence[Directory]) -> Iterator[Change]:
        if new is None:
            assert old is not None
            yield _change(Kind.DELETED, old)
        elif old is None:
            yield from self._added(new)
        elif old.is_dir and new.is_dir:
            inside = list(self.below(new.path, touched)) if touched else []
            if inside or not _is_alike(old, new):
                yield _change(Kind.CHANGED, new)
            yield from inside
        elif old.root.path != new.root.path and not (_is_alike(old, new) and _has_same_content(old, new)):
            yield _change(Kind.CHANGED, new)
            if new.is_dir:
                yield from (_change(Kind.ADDED, entry) for entry in self._after.walk(new.path))

    def _added(self, entry: Entry) -> Iterator[Change]:
        yield _change(Kind.ADDED, entry)
        if entry.is_dir:
            yield from (_change(Kind.ADDED, below) for below in self._after.walk(entry.path))


def _change(kind: Kind, entry: Entry) -> Change:
    return Change(kind, "/" + entry.path, entry.stat.st_size if entry.is_file else 0)


def _name(entry: Entry) -> str:
    return entry.path.rpartition("/")[2]


def _subdirectories(directories: Sequence[Directory], name: str) -> list[Directory]:
    """Those of the directories' entries `name` that are real directories."""
    found = []
    for directory in directories:
        with contextlib.suppress(OSError):
            found.append(directory.enter(name))
    return found


def _is_alike(old: Entry, new: Entry) -> bool:
    """Whether kind, permission bits, owner, device and file capability are the same."""
    a, b = old.stat, new.stat
    if (a.st_mode, a.st_uid, a.st_gid, a.st_rdev) != (b.st_mode, b.st_uid, b.st_gid, b.st_rdev):
        return False
    if not old.is_file:
        return True
    return read_xattrs(old.root, old.path).capability == read_xattrs(new.root, new.path).capability


def _has_same_content(old: Entry, new: Entry) -> bool:
    if old.is_link:
        return old.readlink() == new.readlink()
    if not old.is_file:
        return True
    return old.stat.st_size == new.stat.st_size and have_same_bytes(old.open, new.open)
