"""Packing a planned layer straight from the files that it takes: for a layer that nothing needs to see as a directory.

The blob is that of the directory which `writing.Writer` would make, byte for byte.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

from builder.layer.copyfile import SourceChanged, check_unchanged, open_unchanged, read_unchanged_link
from builder.layer.destination import Item, kept_xattrs
from builder.layer.overlay import read_xattrs
from builder.layer.pack import Packed, pack_entries
from builder.layer.tree import Entry
from builder.layer.walk import NANOSECONDS, LayerEntry
from builder.layer.writing import NotStorable
from builder.oci import BlobForm


def has_plain_directories(items: Sequence[Item]) -> bool:
    """Whether no directory carries extended attributes over from below: a blob has no place for them."""
    return not any(item.below is not None and kept_xattrs(item.below) for item in items)


def pack_items(items: Sequence[Item], sink: BinaryIO, form: BlobForm, *, now_ns: int | None = None) -> Packed:
    """Writes the blob of the layer that has these items; directories without a time of their own get `now_ns`.

    Raises SourceChanged if a file is not what it was when the layer was planned, NotStorable, ContextError, StoreError.
    """
    sources: dict[bytes, Entry] = {}
    now = (time.time_ns() if now_ns is None else now_ns) // NANOSECONDS

    def entries() -> Iterator[LayerEntry]:
        for item in sorted(items, key=_in_tar_order):
            if item.path:
                entry = _entry(item, now)
                if entry.size:
                    assert item.source is not None
                    sources[entry.name] = item.source
                yield entry

    def pieces(entry: LayerEntry, space: Callable[[], memoryview]) -> Iterator[memoryview]:
        return _pieces(sources.pop(entry.name), space)

    return pack_entries(entries(), pieces, sink, compression=form.compression, level=form.level)


def _in_tar_order(item: Item) -> bytes:
    return os.fsencode(item.path).replace(b"/", b"\0")


def _entry(item: Item, now: int) -> LayerEntry:
    kind, source = stat.S_IFMT(item.mode), item.source
    size = rdev = 0
    capability = link = b""
    if source is not None and kind != stat.S_IFDIR:
        if source.is_file:  # a socket is copied as an empty file
            size = source.stat.st_size
            capability = read_xattrs(source.root, source.path).capability if item.keeps_capability else b""
        elif kind == stat.S_IFLNK:
            link = os.fsencode(read_unchanged_link(source))
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            rdev = source.stat.st_rdev
            if kind == stat.S_IFCHR and rdev == 0:
                raise NotStorable(source.path)
    mtime = now if item.mtime_ns is None else item.mtime_ns // NANOSECONDS
    return LayerEntry(os.fsencode(item.path), kind, stat.S_IMODE(item.mode), item.uid, item.gid, size, mtime,
                      rdev, item.linked, capability, link)


def _pieces(source: Entry, space: Callable[[], memoryview]) -> Iterator[memoryview]:
    fd = open_unchanged(source)
    try:
        left = source.stat.st_size
        while left:
            room = space()
            count = os.readv(fd, (room[:left],))
            if not count:
                raise SourceChanged(source.path)
            left -= count
            yield room[:count]
        check_unchanged(source, fd)
    finally:
        os.close(fd)
