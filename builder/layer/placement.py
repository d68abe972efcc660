"""Where each entry of a copy goes, and with what attributes: BuildKit's copying, played through on a Destination."""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from builder.golang.paths import clean_beneath
from builder.layer.destination import NEW_DIRECTORY_MODE, CannotCopy, Destination, Item
from builder.layer.selection import Match
from builder.layer.taken import ContentDigests
from builder.layer.tree import Entry, FileTree
from builder.plan.vertices import Copy, CopySource

if TYPE_CHECKING:
    from builder.layer.modes import ModeChange


class Unpack(msgspec.Struct, frozen=True):
    """An archive whose members go into the directory `path` of the layer."""

    archive: Entry
    path: str


class Step(msgspec.Struct, frozen=True):
    """Part of a layer's making: the archive comes after `items` and before the items of the next step."""

    items: tuple[Item, ...]
    unpack: Unpack | None = None


class Placement:
    """Call `copy` for one match after the other, then ask for `facts` and `steps`.

    `owner` owns everything that is copied or made; None keeps the owners of the sources.
    """

    def __init__(self, op: Copy, parent: FileTree | None, owner: tuple[int, int] | None) -> None:
        self._destination = Destination(parent)
        self._owner = owner
        self._change: ModeChange | None = None
        self._new_mode = NEW_DIRECTORY_MODE
        if op.mode:
            from builder.layer.modes import octal_mode, parse_mode

            self._change = parse_mode(op.mode)
            octal = octal_mode(op.mode)
            self._new_mode = NEW_DIRECTORY_MODE if octal is None else octal & 0o777
        self._path = clean_beneath(op.destination)
        self._is_directory = not self._path or op.destination.endswith(("/", "/."))
        self._steps: list[Step] = []
        self._stepped = 0
        """How many items are in steps."""
        self._same: frozenset[str] = frozenset()
        self._copied = 0
        self._deferred: Callable[[], None] | None = None
        """The placing of a directory's contents where nothing is in their way: only done when they are written."""
        self._destination.make_directories("", NEW_DIRECTORY_MODE, (0, 0))

    def copy(self, source: CopySource, tree: FileTree, match: Match) -> None:
        """Raises CannotCopy, TooManyLinks."""
        self._place_deferred()
        if source.unpack and match.entry.is_file and self._unpack(match.entry):
            return
        self._copied += 1
        self._make_parents(self._path if self._is_directory else posixpath.dirname(self._path))
        target = self._destination.resolve(self._path)
        if match.entry.is_dir:
            self._copy_directory(source, tree, match, target)
        else:
            self._copy_file(tree, match, target)

    def facts(self, contents: ContentDigests) -> dict[str, str]:
        """What the layer takes from its parent, by path, in words; equal facts make equal layers.

        Times are no part of it, so files count that only would be left out of the layer if their times were equal too.
        """
        if self._steps:
            return self._destination.facts
        covering = list(self._destination.covering())
        if covering:
            from builder.layer.unchanged import same_but_for_times

            self._same = same_but_for_times(covering, contents)
        return self._destination.all_facts(self._same)

    def steps(self) -> tuple[Step, ...]:
        self._place_deferred()
        if not self._steps:
            return (Step(self._changes()),)
        if self._stepped < len(self._destination.items):
            self._end_step(None)
        return tuple(self._steps)

    def _changes(self) -> tuple[Item, ...]:
        """Without what the parent already has, as far as `facts` says."""
        same = {item.path for item, below in self._destination.covering()
                if item.path in self._same and item.mtime_ns == below.stat.st_mtime_ns}
        same |= self._destination.untouched(same)
        return tuple(item for path, item in self._destination.items.items() if path not in same)

    # -- kinds of sources -----------------------------------------------------------------------------------------

    def _copy_file(self, tree: FileTree, match: Match, target: str) -> None:
        found = self._destination.at(target)
        if found is not None and found.is_dir:
            target = posixpath.join(target, match.name)
        self._make_parents(posixpath.dirname(target))
        self._destination.put(self._item(target, tree, match.entry))
        self._destination.touch(posixpath.dirname(target))

    def _copy_directory(self, source: CopySource, tree: FileTree, match: Match, target: str) -> None:
        found = self._destination.at(target)
        if source.literal and found is not None and match.name:
            target = posixpath.join(target, match.name)
            found = self._destination.at(target)
        if found is not None and not found.is_dir:
            raise CannotCopy(f"cannot copy to non-directory: `/{target}`")
        if source.literal and found is None:
            self._make_parents(posixpath.dirname(target))
            self._destination.put_directory(self._item(target, tree, match.entry))
            self._destination.touch(posixpath.dirname(target))
        else:
            self._make_parents(target)
            knows_time = bool(match.entry.path) or not tree.root_owned  # the root of a context has no time
            self._destination.set_mtime(target, match.entry.stat.st_mtime_ns if knows_time else None)
        if not match.contents:
            return
        if self._destination.is_empty(target):
            self._destination.need(target)
            self._deferred = lambda: self._place_contents(tree, match, target)
        else:
            self._place_contents(tree, match, target)

    def _place_contents(self, tree: FileTree, match: Match, target: str) -> None:
        prefix = f"{target}/" if target else ""
        for selected in match.contents:
            item = self._item(prefix + selected.path, tree, selected.entry)
            if not item.is_dir:
                self._destination.put(item)
            elif selected.implied:
                self._destination.imply_directory(item, selected.entry.stat.st_mode)
            else:
                self._destination.put_directory(item)

    def _place_deferred(self) -> None:
        if self._deferred is not None:
            place, self._deferred = self._deferred, None
            place()

    def _unpack(self, entry: Entry) -> bool:
        """Plan the unpacking of a file if it is an archive."""
        from builder.layer.archive import is_archive

        if not is_archive(entry):
            return False
        path = self._destination.resolve(self._path)
        self._destination.make_directories(path, NEW_DIRECTORY_MODE, self._owner or (0, 0))
        self._destination.watch_below(path)
        self._end_step(Unpack(entry, path))
        return True

    # -- parts ----------------------------------------------------------------------------------------------------

    def _make_parents(self, path: str) -> None:
        self._destination.make_directories(self._destination.resolve(path), self._new_mode, self._owner or (0, 0))

    def _item(self, path: str, tree: FileTree, entry: Entry) -> Item:
        status = entry.stat
        mode = status.st_mode
        kind = stat.S_IFMT(mode)
        if kind == stat.S_IFSOCK:
            kind = stat.S_IFREG
            mode = kind | stat.S_IMODE(mode)
        if self._change is not None and kind != stat.S_IFLNK:
            mode = kind | self._change(stat.S_IMODE(mode), kind == stat.S_IFDIR)
        uid, gid = self._owner or ((0, 0) if tree.root_owned else (status.st_uid, status.st_gid))
        is_shared = status.st_nlink > 1 and stat.S_ISREG(status.st_mode)
        linked = (self._copied, status.st_dev, status.st_ino) if is_shared else None
        return Item(path=path, mode=mode, uid=uid, gid=gid, mtime_ns=status.st_mtime_ns, source=entry, linked=linked,
                    keeps_capability=not tree.root_owned)

    def _end_step(self, unpack: Unpack | None) -> None:
        items = tuple(self._destination.items.values())
        self._steps.append(Step(items[self._stepped :], unpack))
        self._stepped = len(items)
