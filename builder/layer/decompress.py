"""Compressed streams being read: gzip, zstd, xz and bzip2, recognised by their first bytes, and what is none of them.

Several members or frames in a row are one stream; zero bytes behind the last one are padding, anything else is an
error. No more than PIECE bytes are decompressed at a time, however well they were compressed.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from builder.errors import ImageError

PIECE = 1 << 20
_MAGIC_SIZE = 10
_INPUT = 256 << 10
_XZ_MEMORY = 256 << 20
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_BLOCK = 128 << 10


class Packing(enum.StrEnum):
    """How a stream is compressed."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"
    XZ = "xz"
    BZIP2 = "bzip2"


class ArchiveDamaged(ImageError):
    code = "archive-damaged"

    def __init__(self, what: str, cause: str) -> None:
        super().__init__(f"{what} is damaged", cause=cause)


class ArchiveUnreadable(ImageError):
    code = "archive-unreadable"

    def __init__(self, what: str, cause: OSError) -> None:
        super().__init__(f"cannot read {what}", cause=cause.strerror or str(cause))


class ArchiveTooLarge(ImageError):
    code = "archive-too-large"

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"{what} holds more than {limit} bytes")


class ByteSource(Protocol):
    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, b"" at the end."""
        ...


def detect(start: bytes) -> Packing:
    """The compression of a stream that starts with `start` (10 bytes are enough)."""
    if start.startswith(b"\x1f\x8b\x08"):
        return Packing.GZIP
    if start.startswith(_ZSTD_MAGIC) or (len(start) >= 8 and _is_skippable(start)):
        return Packing.ZSTD
    if start.startswith(b"\xfd7zXZ\0"):
        return Packing.XZ
    if start.startswith(b"BZh"):
        return Packing.BZIP2
    return Packing.NONE


def _is_skippable(start: bytes) -> bool:
    return start[0] & 0xF0 == 0x50 and start[1:4] == b"\x2a\x4d\x18"


def decompressor(source: ByteSource, *, what: str = "archive", limit: int | None = None) -> Decompressor:
    """A reader of what `source` holds, decompressed. `what` names it in errors; `limit` bounds the result's size."""
    return Decompressor(source, what, limit)


class Decompressor:
    """Iterates over non-empty pieces; `read` is there for those who want a file.

    Raises ArchiveDamaged, ArchiveTooLarge, ArchiveUnreadable where the source raises OSError, and what else it raises.
    At the end the source has been read to its end.
    """

    def __init__(self, source: ByteSource, what: str, limit: int | None) -> None:
        self._source = _Source(source, what)
        self._start = b""
        while len(self._start) < _MAGIC_SIZE and (more := self._source.read(_MAGIC_SIZE - len(self._start))):
            self._start += more
        self.packing = detect(self._start)
        self._what = what
        self._limit = limit
        self._pieces = self._guarded()
        self._rest = b""

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, b"" at the end; without a size everything."""
        if size < 0:
            everything = b"".join((self._rest, *self._pieces))
            self._rest = b""
            return everything
        if not self._rest:
            self._rest = next(self._pieces, b"")
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def _guarded(self) -> Iterator[bytes]:
        total = 0
        try:
            for piece in self._unpacked():
                total += len(piece)
                if self._limit is not None and total > self._limit:
                    raise ArchiveTooLarge(self._what, self._limit)
                yield piece
        except (_Damaged, EOFError) as error:
            raise ArchiveDamaged(self._what, str(error)) from error

    def _unpacked(self) -> Iterator[bytes]:
        match self.packing:
            case Packing.NONE:
                return self._input()
            case Packing.ZSTD:
                return _zstd(_Exact(self._start, self._source))
            case Packing.GZIP:
                from isal import igzip_lib

                damage: Any = igzip_lib.error  # its stub takes the class for an instance
                return self._members(lambda: igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_GZIP), damage)
            case Packing.XZ:
                from lzma import FORMAT_XZ, LZMADecompressor, LZMAError

                return self._members(lambda: LZMADecompressor(FORMAT_XZ, memlimit=_XZ_MEMORY), LZMAError)
            case Packing.BZIP2:
                from bz2 import BZ2Decompressor

                return self._members(BZ2Decompressor, OSError)

    def _input(self) -> Iterator[bytes]:
        if self._start:
            yield self._start
        size = PIECE if self.packing is Packing.NONE else _INPUT
        while data := self._source.read(size):
            yield data

    def _members(self, new: Callable[[], Any], damage: type[Exception]) -> Iterator[bytes]:
        """Members one after the other; `new` makes a decoder in the manner of `bz2.BZ2Decompressor`."""
        decoder = new()
        for data in self._input():
            while data:
                if decoder.eof:
                    data = data.lstrip(b"\0")
                    if not data:
                        break
                    decoder = new()
                more = True
                while more:
                    try:
                        piece = decoder.decompress(data, PIECE)
                    except damage as error:
                        raise _Damaged(str(error)) from error
                    if piece:
                        yield piece
                    data = b""
                    more = not decoder.eof and not decoder.needs_input
                if decoder.eof:
                    data = decoder.unused_data
        if not decoder.eof:
            raise EOFError("it ends early")


class _Damaged(Exception):
    """What a library says about damaged input."""


class _Source:
    """A source whose OSErrors tell themselves from those of writing what was read."""

    def __init__(self, source: ByteSource, what: str) -> None:
        self._source = source
        self._what = what

    def read(self, size: int) -> bytes:
        try:
            return self._source.read(size)
        except OSError as error:
            raise ArchiveUnreadable(self._what, error) from error


class _Exact:
    """Reads exactly as much as is asked for. Raises EOFError where the source ends within it."""

    def __init__(self, start: bytes, source: ByteSource) -> None:
        self._buffer = start
        self._source = source

    def read(self, size: int) -> bytes:
        while len(self._buffer) < size:
            more = self._source.read(_INPUT)
            if not more:
                raise EOFError("it ends early")
            self._buffer += more
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def at_end(self) -> bool:
        if not self._buffer:
            self._buffer = self._source.read(_INPUT)
        return not self._buffer


def _zstd(source: _Exact) -> Iterator[bytes]:
    """Frames one after the other, fed block by block (RFC 8878 section 3.1.1).

    The library's own reader takes a frame that breaks off for one that ends, and its decoder, given more at once,
    bounds its output by nothing: a block of 4 bytes may stand for 128 KiB.
    """
    from zstandard import ZstdDecompressor, ZstdError

    while not source.at_end():
        magic = source.read(4)
        if _is_skippable(magic):
            left = int.from_bytes(source.read(4), "little")
            while left:
                left -= len(source.read(min(left, _INPUT)))
            continue
        if magic != _ZSTD_MAGIC:
            raise _Damaged("there is something else behind a zstd frame")
        frame = ZstdDecompressor().decompressobj()
        try:
            for part in _frame_parts(source):
                if piece := frame.decompress(magic + part):
                    yield piece
                magic = b""
        except ZstdError as error:
            raise _Damaged(str(error)) from error


def _frame_parts(source: _Exact) -> Iterator[bytes]:
    """The rest of a zstd frame: its header, its blocks, its checksum."""
    descriptor = source.read(1)
    flags = descriptor[0]
    single_segment = flags >> 5 & 1
    header_size = (0 if single_segment else 1) + (0, 1, 2, 4)[flags & 3] + (single_segment, 2, 4, 8)[flags >> 6]
    yield descriptor + source.read(header_size)
    last = False
    while not last:
        head = source.read(3)
        block = int.from_bytes(head, "little")
        last = bool(block & 1)
        repeated = block >> 1 & 3 == 1
        yield head + source.read(1 if repeated else min(block >> 3, _ZSTD_BLOCK))
    if flags & 4:
        yield source.read(4)
