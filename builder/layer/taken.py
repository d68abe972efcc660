"""What a copy takes, as the part of its cache key that stands for the source files.

One row an entry: names, types, modes, owners, link targets, device numbers, fingerprints of bytes; never times. The
name of a source counts by its last component only, as in BuildKit: the same files under another directory are the same.
"""

from __future__ import annotations

import marshal
import os
import stat
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Protocol, TypeAlias

import msgspec

from builder.hashing import sha256
from builder.layer.selection import Match
from builder.layer.tree import Entry, FileTree, shown
from builder.plan.vertices import CopySource

_Row: TypeAlias = tuple[int, str, str, int, int, int, bytes, str]
"""Position of the source, its last component, path below the match, mode, uid, gid, payload (a file's fingerprint, a
link's target, a device's number), and for a further name of the same file its first one."""


_MANY = 32
"""Entries from which on it pays to look whether all of them are as they were."""
_facts_of = attrgetter("st_mode", "st_ino", "st_dev", "st_nlink", "st_uid", "st_gid", "st_size", "st_mtime_ns",
                       "st_ctime_ns", "st_rdev")
"""What rows are made of, and what an unchanged file is known by."""


class ContentDigests(Protocol):
    """Fingerprints of files: equal for equal content and equal file capabilities."""

    def digests(self, entries: Sequence[Entry]) -> list[bytes]:
        """One for each of the regular files `entries`. Raises ContextError for one that cannot be read."""
        ...

    def recall(self, place: Entry, facts: bytes) -> str | None:
        """What `note` was called with the last time that these were the facts."""
        ...

    def note(self, place: Entry, facts: bytes, digest: str, files: Sequence[Entry]) -> None:
        """`digest` follows from `facts`, which hold what stat says of `files`, and from the content of these."""
        ...


class Taken(msgspec.Struct):
    """Everything that the sources of a copy take, in order; `trees` and `matches` have one element a source."""

    sources: tuple[CopySource, ...]
    trees: tuple[FileTree, ...]
    matches: tuple[tuple[Match, ...], ...]
    _made: tuple[ContentDigests, list[_Row]] | None = None
    """What `digest` had to make: `manifest` follows where a copy is not in the cache, and takes it."""

    def digest(self, contents: ContentDigests) -> str:
        """Differs where anything that is copied differs."""
        if sum(len(match.contents) for matches in self.matches for match in matches) < _MANY:
            return self._digest(contents)
        place, facts = next(match.entry for matches in self.matches for match in matches), self._facts()
        digest = contents.recall(place, facts)
        if digest is None:
            digest = self._digest(contents)
            contents.note(place, facts, digest, [entry for _, _, _, entry in self._entries() if entry.is_file])
        return digest

    def _facts(self) -> bytes:
        """Equal only if all rows are, as far as stat can tell: much faster to make than those, for many entries."""
        found = []
        for number, matches in enumerate(self.matches):
            for match in matches:
                entries = [match.entry, *[selected.entry for selected in match.contents]]
                facts = list(map(_facts_of, [entry.stat for entry in entries]))
                found.append((number, match.name, [selected.path for selected in match.contents], facts,
                              [entry.readlink() for entry, fact in zip(entries, facts, strict=True)
                               if stat.S_ISLNK(fact[0])]))
        trees = [(tree.root_owned, source.literal) for tree, source in zip(self.trees, self.sources, strict=True)]
        return marshal.dumps((trees, found), 2)  # from version 3 on, equal values may become different bytes

    def _digest(self, contents: ContentDigests) -> str:
        rows = self._rows(contents)
        self._made = contents, rows
        try:
            encoded = msgspec.msgpack.encode(rows)
        except UnicodeEncodeError:
            encoded = msgspec.msgpack.encode([
                tuple(os.fsencode(field) if isinstance(field, str) else field for field in row) for row in rows
            ])
        return sha256(encoded).hexdigest()

    def manifest(self, contents: ContentDigests) -> list[tuple[str, str]]:
        """What `digest` stands for: (path in its source, description) pairs that differ where an entry differs."""
        made, self._made = self._made, None
        rows = made[1] if made is not None and made[0] is contents else self._rows(contents)
        return [
            (shown(entry.path), f"{mode:o} {uid}:{gid} {payload.hex()} {shown(first)}".rstrip())
            for (_, _, _, entry), (_, _, _, mode, uid, gid, payload, first) in zip(self._entries(), rows, strict=True)
        ]

    def _rows(self, contents: ContentDigests) -> list[_Row]:
        entries = list(self._entries())
        digests = iter(contents.digests([entry for _, _, _, entry in entries if stat.S_ISREG(entry.stat.st_mode)]))
        names: dict[tuple[int, int], str] = {}
        rows: list[_Row] = []
        for number, name, path, entry in entries:
            if not path:
                names.clear()
            status = entry.stat
            mode = status.st_mode
            uid, gid = (0, 0) if self.trees[number].root_owned else (status.st_uid, status.st_gid)
            payload = b""
            first = ""
            kind = stat.S_IFMT(mode)
            if kind == stat.S_IFREG:
                payload = next(digests)
                if status.st_nlink > 1:
                    first = names.setdefault((status.st_dev, status.st_ino), path)
            elif kind == stat.S_IFDIR:
                if not path and not self.sources[number].literal:
                    # only its contents are copied
                    mode, uid, gid = kind, 0, 0
            elif kind == stat.S_IFLNK:
                payload = os.fsencode(entry.readlink())
            else:
                payload = b"%d" % status.st_rdev
            rows.append((number, name, path, mode, uid, gid, payload, first))
        return rows

    def _entries(self) -> Iterator[tuple[int, str, str, Entry]]:
        """Number of the source, name of the match, path below it ("" for itself, which comes first), entry."""
        for number, matches in enumerate(self.matches):
            for match in matches:
                name = match.name
                yield number, name, "", match.entry
                for selected in match.contents:
                    yield number, name, selected.path, selected.entry
