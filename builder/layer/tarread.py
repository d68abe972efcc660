"""Members of a tar stream: V7, USTAR, GNU and pax, with long names, big numbers, extended attributes and sparse files.

Reads what Go's archive/tar reads, for whatever it refuses BuildKit refuses too. Names and targets are bytes as they
stand in the archive: nothing here makes them safe to use. A global pax header is a member that says nothing, as in Go.
Sources: POSIX pax; GNU tar manual, "Basic Tar Format" and "Sparse Formats"; Go archive/tar reader.go.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec

from builder.errors import ImageError
from builder.layer.tarfields import (
    NUMBER_LIMIT,
    check_sum,
    decimal,
    mode_and_owner,
    name_of,
    nanoseconds,
    number,
    pax_records,
    shown_name,
)
from builder.layer.tarsparse import SparseMap, gnu_sparse_map, map_in_data, map_in_records
from builder.layer.tarwrite import BLOCK

_SPECIAL_LIMIT = 1 << 20
"""Bytes of one extended header."""
_NO_ID = (1 << 32) - 1
"""chown(2) takes this for `leave it`."""
GLOBAL_HEADER = b"g"
_EMPTY = bytes(BLOCK)
_DATALESS = frozenset(b"123456")
_XATTR = b"SCHILY.xattr."
_MAX_TIME_NS = (1 << 63) - 1


class BadArchive(ImageError):
    code = "archive-invalid"

    def __init__(self, what: str, cause: str, member: bytes = b"") -> None:
        at = f" at member `{shown_name(member)}`" if member else ""
        super().__init__(f"{what} is not a valid tar{at}", cause=cause)


class Member(msgspec.Struct, gc=False):
    """One member. `size` is that of the file, of which a sparse one stores only parts; it is 0 for other kinds."""

    kind: bytes
    """The type flag; regular files of every kind are b"0"."""
    name: bytes
    link: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    """From 1970 to 2262; what lies outside became 1970, as containerd has it."""
    device: tuple[int, int] = (0, 0)
    xattrs: dict[str, bytes] | None = None
    sparse: SparseMap | None = None
    """Where the stored parts go: (offset, length), ascending."""


class TarReader:
    """Iterate for members; `data()` gives the stored bytes of the latest, what is not taken of them is skipped.

    `pieces` are the archive's bytes. Raises BadArchive and what `pieces` raises.
    """

    def __init__(self, pieces: Iterator[bytes], what: str = "archive") -> None:
        self._pieces = pieces
        self._what = what
        self._piece = memoryview(b"")
        self._at = 0
        self._left = 0
        """Bytes of the current member's data not yet handed out."""
        self._pad = 0
        self._name = b""

    def __iter__(self) -> Iterator[Member]:
        while (member := self.next()) is not None:
            yield member

    def next(self) -> Member | None:
        """The next member, None at the archive's end (an end without its two empty blocks is one too)."""
        try:
            return self._next()
        except ValueError as error:
            raise BadArchive(self._what, str(error), self._name) from error

    def data(self) -> Iterator[memoryview]:
        while self._left:
            if self._at == len(self._piece) and not self._refill():
                raise BadArchive(self._what, "it ends early", self._name)
            end = min(self._at + self._left, len(self._piece))
            piece = self._piece[self._at : end]
            self._left -= len(piece)
            self._at = end
            yield piece

    # -- headers --------------------------------------------------------------------------------------------------

    def _next(self) -> Member | None:
        records: dict[bytes, bytes] = {}
        long_name = long_link = b""
        while True:
            block = self._header()
            if block is None:
                if records or long_name or long_link:
                    raise ValueError("it ends early")
                return None
            kind = block[156:157]
            if kind == b"x":
                records = pax_records(self._special(block))
            elif kind == b"L":
                long_name = self._special(block).partition(b"\0")[0]
            elif kind == b"K":
                long_link = self._special(block).partition(b"\0")[0]
            else:
                return self._member(block, records, long_name, long_link)

    def _header(self) -> bytes | None:
        """The next header block, checked; None at the end."""
        self._skip()
        block = self._take(BLOCK, may_end=True)
        if not block:
            return None
        if block == _EMPTY:
            second = self._take(BLOCK, may_end=True)
            if second and second != _EMPTY:
                raise ValueError("an empty block is followed by another one")
            return None
        check_sum(block)
        return block

    def _special(self, block: bytes) -> bytes:
        size = number(block[124:136])
        if size > _SPECIAL_LIMIT:
            raise ValueError("an extended header is too long")
        data = self._take(size)
        self._pad = -size % BLOCK
        return data

    def _member(self, block: bytes, records: dict[bytes, bytes], long_name: bytes, long_link: bytes) -> Member:
        kind = block[156:157]
        self._name = long_name or name_of(block)
        mode, uid, gid = mode_and_owner(block[100:124])
        member = Member(
            kind=b"0" if kind == b"\0" else kind,
            name=self._name,
            link=long_link or block[157:257].partition(b"\0")[0],
            mode=mode & 0o7777,
            uid=uid,
            gid=gid,
            size=number(block[124:136]),
            mtime_ns=number(block[136:148]) * 1_000_000_000,
        )
        if kind in b"34":
            member.device = number(block[329:337]), number(block[337:345])
        if records:
            _apply(member, records)
            self._name = member.name
        if kind == b"\0" and member.name.endswith(b"/"):
            member.kind = b"5"
        if kind[0] in _DATALESS:
            member.size = 0
        if not 0 <= member.uid < _NO_ID or not 0 <= member.gid < _NO_ID:
            raise ValueError("an owner is out of range")
        if not 0 <= member.size < NUMBER_LIMIT:
            raise ValueError("a size is out of range")
        if not 0 <= member.mtime_ns <= _MAX_TIME_NS:
            member.mtime_ns = 0
        if b"\0" in member.name or b"\0" in member.link:
            raise ValueError("a name holds a zero byte")
        self._left = member.size
        self._pad = -member.size % BLOCK
        self._sparse(member, block, records)
        return member

    def _sparse(self, member: Member, block: bytes, records: dict[bytes, bytes]) -> None:
        """Finds the map of a sparse file: in the header, in blocks behind it, in its records, or before its data."""
        stored = member.size
        if member.kind == b"S":
            member.kind = b"0"
            self._pad = self._left = 0
            member.sparse, member.size = gnu_sparse_map(block, lambda: self._take(BLOCK), number)
            self._left = stored
            self._pad = -stored % BLOCK
        elif member.kind != b"0" or not records:
            return
        elif records.get(b"GNU.sparse.major") == b"1" and records.get(b"GNU.sparse.minor") == b"0":
            member.sparse, used = map_in_data(self._data_block)
            member.size = decimal(records.get(b"GNU.sparse.realsize", b""))
            stored -= used
        elif (found := map_in_records(records)) is not None:
            member.sparse = found
            member.size = decimal(records.get(b"GNU.sparse.size", records.get(b"GNU.sparse.realsize", b"")))
        if member.sparse is not None:
            _check_map(member.sparse, member.size, stored)

    def _data_block(self) -> bytes:
        if self._left < BLOCK:
            raise ValueError("a sparse map is cut off")
        self._left -= BLOCK
        return self._take(BLOCK)

    # -- bytes ----------------------------------------------------------------------------------------------------

    def _take(self, size: int, *, may_end: bool = False) -> bytes:
        """Exactly `size` bytes; b"" instead if the stream has ended and may."""
        end = self._at + size
        if end <= len(self._piece):
            data = bytes(self._piece[self._at : end])
            self._at = end
            return data
        parts: list[memoryview] = []
        left = size
        while left:
            if self._at == len(self._piece) and not self._refill():
                if may_end and left == size:
                    return b""
                raise ValueError("it ends early")
            part = self._piece[self._at : self._at + left]
            self._at += len(part)
            left -= len(part)
            parts.append(part)
        return b"".join(parts)

    def _skip(self) -> None:
        """The rest of the current member. Its padding may be missing at the stream's end."""
        left = self._left + self._pad
        while left:
            if self._at == len(self._piece) and not self._refill():
                if left > self._pad:
                    raise ValueError("it ends early")
                break
            step = min(left, len(self._piece) - self._at)
            self._at += step
            left -= step
        self._left = self._pad = 0

    def _refill(self) -> bool:
        piece = next(self._pieces, b"")
        self._piece = memoryview(piece)
        self._at = 0
        return bool(piece)


def _apply(member: Member, records: dict[bytes, bytes]) -> None:
    for key, value in records.items():
        if key.startswith(_XATTR):
            if member.xattrs is None:
                member.xattrs = {}
            member.xattrs[os.fsdecode(key[len(_XATTR) :])] = value
        elif not value:
            continue
        elif key == b"path":
            member.name = value
        elif key == b"linkpath":
            member.link = value
        elif key == b"size":
            member.size = decimal(value)
        elif key == b"uid":
            member.uid = decimal(value)
        elif key == b"gid":
            member.gid = decimal(value)
        elif key == b"mtime":
            member.mtime_ns = nanoseconds(value)
    member.name = records.get(b"GNU.sparse.name") or member.name


def _check_map(sparse: SparseMap, size: int, stored: int) -> None:
    end = 0
    for offset, length in sparse:
        if offset < end:
            raise ValueError("the parts of a sparse file overlap")
        end = offset + length
    if end > size or sum(length for _, length in sparse) != stored:
        raise ValueError("the parts of a sparse file do not fit its size")
