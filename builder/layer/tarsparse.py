"""Maps of sparse files in tars: which stretches of the file are stored. GNU tar manual, "Sparse Formats".

Every function raises ValueError, whose text says what is wrong, for a malformed map.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

SparseMap: TypeAlias = tuple[tuple[int, int], ...]
"""(offset, length) of each stored part."""

_MAP_LIMIT = 1 << 20
"""Bytes of one map."""
_ENTRY = 24
_ENTRIES = _MAP_LIMIT // _ENTRY


def gnu_sparse_map(
    header: bytes, next_block: Callable[[], bytes], number: Callable[[bytes], int]
) -> tuple[SparseMap, int]:
    """The map and size of an old GNU sparse file (type `S`): four parts in its header, 21 in each block behind."""
    parts = _parts(header[386:482], number)
    more = header[482]
    while more:
        block = next_block()
        parts += _parts(block[:504], number)
        more = block[504]
        if len(parts) > _ENTRIES:
            raise ValueError("a sparse map is too long")
    return tuple(parts), number(header[483:495])


def _parts(area: bytes, number: Callable[[bytes], int]) -> list[tuple[int, int]]:
    entries = (area[at : at + _ENTRY] for at in range(0, len(area), _ENTRY))
    parts = [(number(entry[:12]), number(entry[12:])) for entry in entries if entry[0]]
    if any(offset < 0 or length < 0 for offset, length in parts):
        raise ValueError("a sparse map is malformed")
    return parts


def map_in_records(records: dict[bytes, bytes]) -> SparseMap | None:
    """The map of pax formats 0.0 and 0.1: numbers with commas between them. None if there is none."""
    text = records.get(b"GNU.sparse.map")
    if text is None:
        return None
    return _pairs(text.split(b",") if text else [], records.get(b"GNU.sparse.numblocks", b"0"))


def map_in_data(next_block: Callable[[], bytes]) -> tuple[SparseMap, int]:
    """The map of pax format 1.0, lines of digits before the file's data; also how many bytes it took."""
    blocks = [next_block()]
    used = len(blocks[0])
    found = blocks[0].count(b"\n")
    if not found:
        raise ValueError("a sparse map is malformed")
    wanted = _count(blocks[0].split(b"\n", 1)[0]) * 2 + 1
    while found < wanted:
        if used > _MAP_LIMIT:
            raise ValueError("a sparse map is too long")
        blocks.append(next_block())
        used += len(blocks[-1])
        found += blocks[-1].count(b"\n")
    lines = b"".join(blocks).split(b"\n")
    return _pairs(lines[1:wanted], lines[0]), used


def _pairs(numbers: list[bytes], count: bytes) -> SparseMap:
    if len(numbers) != 2 * _count(count):
        raise ValueError("a sparse map is malformed")
    values = [_count(number) for number in numbers]
    return tuple(zip(values[::2], values[1::2], strict=True))


def _count(text: bytes) -> int:
    if not text.isdigit() or len(text) > 19:
        raise ValueError("a sparse map is malformed")
    return int(text)
