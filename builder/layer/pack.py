"""A layer directory becomes a layer blob: the tar that BuildKit would write for it, compressed, in one pass.

The bytes depend on the directory alone. As in BuildKit there is no entry for the root, sockets are left out, of the
extended attributes only `security.capability` is kept, and a whiteout is an empty file of mode 0, owner 0:0 and time 0.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import BinaryIO, TypeAlias

import msgspec

from builder.layer import tarwrite
from builder.layer.compress import Blob, BlobWriter, compressor
from builder.layer.overlay import OPAQUE_MARKER, WHITEOUT_PREFIX
from builder.layer.walk import LayerEntry, file_pieces, first_name, walk_layer
from builder.oci import Compression

_TYPES = {
    stat.S_IFREG: tarwrite.FILE,
    stat.S_IFDIR: tarwrite.DIRECTORY,
    stat.S_IFLNK: tarwrite.SYMLINK,
    stat.S_IFCHR: tarwrite.CHAR_DEVICE,
    stat.S_IFBLK: tarwrite.BLOCK_DEVICE,
    stat.S_IFIFO: tarwrite.FIFO,
}

Pieces: TypeAlias = Callable[[LayerEntry, Callable[[], memoryview]], Iterator[memoryview]]
"""Reads the bytes of a file into what the second argument gives for each piece."""


class Packed(msgspec.Struct, frozen=True, kw_only=True):
    blob: Blob
    entries: int
    """Names in the layer, whiteouts included; 0 for a layer that changes nothing."""


def pack(
    layer_dir: str,
    sink: BinaryIO,
    *,
    compression: Compression = Compression.UNCOMPRESSED,
    level: int | None = None,
    clamp_mtime: int | None = None,
) -> Packed:
    """Writes the blob of `layer_dir` to the buffered file `sink`; the same directory always gives the same bytes.

    Times after `clamp_mtime` (seconds) become it. The directory must not change
    meanwhile. Raises StoreError subclasses.
    """
    return pack_entries(walk_layer(layer_dir), file_pieces, sink, compression=compression, level=level,
                        clamp_mtime=clamp_mtime)


def pack_entries(
    entries: Iterable[LayerEntry],
    pieces: Pieces,
    sink: BinaryIO,
    *,
    compression: Compression,
    level: int | None = None,
    clamp_mtime: int | None = None,
) -> Packed:
    """`pack` of entries in the order of `walk_layer`; `pieces` reads their bytes. Raises what these do, StoreError."""
    with compressor(sink, compression, level) as writer:
        packer = _Packer(writer, pieces, clamp_mtime)
        count = 0
        for entry in entries:
            packer.add(entry)
            count += 1
        writer.write(tarwrite.END)
        return Packed(blob=writer.finish(), entries=count)


class _Packer:
    def __init__(self, writer: BlobWriter, pieces: Pieces, clamp_mtime: int | None) -> None:
        self._writer = writer
        self._pieces = pieces
        self._clamp = clamp_mtime
        self._names: dict[Hashable, bytes] = {}

    def add(self, entry: LayerEntry) -> None:
        name = entry.name
        if entry.whiteout:
            parent, slash, base = name.rpartition(b"/")
            self._writer.write(tarwrite.whiteout(parent + slash + WHITEOUT_PREFIX + base))
            return
        first = first_name(entry, self._names)
        target = b"" if first else entry.link
        size = 0 if first or entry.kind != stat.S_IFREG else entry.size
        self._writer.write(self._header(entry, first, target, size))
        if entry.opaque:
            self._writer.write(tarwrite.whiteout(name + b"/" + OPAQUE_MARKER))
        if size:
            self._copy(entry)
            self._writer.write(tarwrite.padding(size))

    def _header(self, entry: LayerEntry, first: bytes, target: bytes, size: int) -> bytes:
        device = entry.kind in (stat.S_IFCHR, stat.S_IFBLK)
        return tarwrite.header(
            tarwrite.HARD_LINK if first else _TYPES[entry.kind],
            entry.name + b"/" if entry.kind == stat.S_IFDIR else entry.name,
            mode=entry.mode,
            uid=entry.uid,
            gid=entry.gid,
            mtime=entry.mtime if self._clamp is None else min(entry.mtime, self._clamp),
            size=size,
            link=first or target,
            device=(os.major(entry.rdev), os.minor(entry.rdev)) if device else (0, 0),
            capability=entry.capability,
        )

    def _copy(self, entry: LayerEntry) -> None:
        writer = self._writer
        for piece in self._pieces(entry, writer.space):
            writer.advance(len(piece))
