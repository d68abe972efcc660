"""Headers of layer tars: the bytes that Go's archive/tar writes for BuildKit.

The same tree therefore has the same diff id as in BuildKit. Headers are USTAR, with long names cut in two if that
is all; what does not fit (long or non-ASCII names, big ids and sizes, times outside 0..2^33, extended attributes) goes
into one pax header before it. Owner names are empty, times are whole seconds, every header is pure ASCII.
Sources: POSIX pax; Go archive/tar writer.go; containerd pkg/archive ChangeWriter.
"""

from __future__ import annotations

import functools
import os
import zlib
from collections.abc import Iterable, Mapping

BLOCK = 512
END = bytes(2 * BLOCK)
"""Two empty blocks end an archive."""

FILE, HARD_LINK, SYMLINK, CHAR_DEVICE, BLOCK_DEVICE, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"

_NAME_SIZE = 100
_PREFIX_SIZE = 155
_TAIL_SIZE = 356
"""The part of a header behind its checksum."""
_ID_LIMIT = 1 << 21
_SIZE_LIMIT = 1 << 33
_MAGIC = b"ustar\x0000" + bytes(64)
_BLANK_CHECKSUM = 8 * ord(" ")


def padding(size: int) -> bytes:
    """The zero bytes that follow `size` bytes of data."""
    return bytes(-size % BLOCK)


def header(
    kind: bytes,
    name: bytes,
    *,
    mode: int,
    uid: int,
    gid: int,
    mtime: int,
    size: int = 0,
    link: bytes = b"",
    device: tuple[int, int] = (0, 0),
    capability: bytes = b"",
    xattrs: Iterable[tuple[bytes, bytes]] = (),
) -> bytes:
    """The header of one member, with its pax header where it needs one. A directory's name ends in a slash.

    `xattrs` are the `xattr_records` of what it has beside the capability.
    """
    records = list(xattrs)
    prefix = b""
    if gid >= _ID_LIMIT:
        records.append((b"gid", b"%d" % gid))
        gid = 0
    if capability:
        records.append((b"SCHILY.xattr.security.capability", capability))
    if len(link) > _NAME_SIZE or not link.isascii():
        records.append((b"linkpath", link))
    if not 0 <= mtime < _SIZE_LIMIT:
        records.append((b"mtime", b"%d" % mtime))
        mtime = 0
    if size >= _SIZE_LIMIT:
        records.append((b"size", b"%d" % size))
        size = 0
    if uid >= _ID_LIMIT:
        records.append((b"uid", b"%d" % uid))
        uid = 0
    rest = name
    if len(name) > _NAME_SIZE or not name.isascii():
        prefix, rest = (b"", name) if records else _split(name)
        if not prefix:
            records.append((b"path", name))
    numbers = _numbers(mode, uid, gid) + _sizes(size, mtime)
    block = _block(_field(rest), numbers, _tail(kind, _field(link), device, prefix))
    return _pax(name, records) + block if records else block


def xattr_records(xattrs: Mapping[str, bytes]) -> list[tuple[bytes, bytes]]:
    """Pax records for `header`. A name with a `=` cannot be written, for that ends a record's key."""
    return [(b"SCHILY.xattr." + os.fsencode(key), value) for key, value in xattrs.items() if "=" not in key]


def whiteout(name: bytes) -> bytes:
    """The header that hides `name` (a path whose last part starts with `.wh.`): an empty file with no attributes."""
    return header(FILE, name, mode=0, uid=0, gid=0, mtime=0)


def _block(name: bytes, numbers: bytes, tail: bytes) -> bytes:
    # The low half of Adler-32 is 1 + the sum of the bytes modulo 65521, and 512 ASCII bytes sum to at most 65024.
    checksum = (zlib.adler32(tail, zlib.adler32(numbers, zlib.adler32(name))) & 0xFFFF) - 1 + _BLANK_CHECKSUM
    return b"%b%b%06o\0 %b" % (name, numbers, checksum, tail)


def _field(text: bytes) -> bytes:
    if len(text) <= _NAME_SIZE and text.isascii():
        return text.ljust(_NAME_SIZE, b"\0")
    text = _ascii(text)
    cut = text[:_NAME_SIZE]
    if len(text) > _NAME_SIZE and cut.endswith(b"/"):
        # Some readers take a file whose cut name ends in a slash for a directory.
        stem = cut.rstrip(b"/")
        cut = stem + b"\0" + cut[len(stem) + 1 :]
    return cut.ljust(_NAME_SIZE, b"\0")


@functools.lru_cache(maxsize=1024)
def _numbers(mode: int, uid: int, gid: int) -> bytes:
    return b"%07o\0%07o\0%07o\0" % (mode, uid, gid)


def _sizes(size: int, mtime: int) -> bytes:
    return b"%011o\0%011o\0" % (size, mtime)


@functools.lru_cache(maxsize=64)
def _tail(kind: bytes, link: bytes, device: tuple[int, int], prefix: bytes) -> bytes:
    return (b"%b%b%b%07o\0%07o\0%b" % (kind, link, _MAGIC, *device, prefix)).ljust(_TAIL_SIZE, b"\0")


def _pax(name: bytes, records: list[tuple[bytes, bytes]]) -> bytes:
    data = b"".join(_record(key, value) for key, value in sorted(records))
    folder, _, base = name.rpartition(b"/")
    label = _ascii(b"/".join(part for part in (folder, b"PaxHeaders.0", base) if part))[:_NAME_SIZE].rstrip(b"/")
    numbers = _numbers(0, 0, 0) + _sizes(len(data), 0)
    tail = (b"x" + bytes(_NAME_SIZE) + _MAGIC).ljust(_TAIL_SIZE, b"\0")
    return _block(label.ljust(_NAME_SIZE, b"\0"), numbers, tail) + data + padding(len(data))


def _record(key: bytes, value: bytes) -> bytes:
    """`LENGTH key=value\\n`, where the length counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) > len(str(rest)):
        length += 1
    return b"%d %b=%b\n" % (length, key, value)


def _ascii(text: bytes) -> bytes:
    return text if text.isascii() else bytes(c for c in text if c < 0x80)


def _split(name: bytes) -> tuple[bytes, bytes]:
    """A long name as USTAR's prefix and rest; the prefix is empty where it cannot be cut."""
    cut = name.rfind(b"/", 0, min(len(name) - 1, _PREFIX_SIZE + 1))
    if cut <= 0 or len(name) - cut - 1 > _NAME_SIZE or not name.isascii():
        return b"", name
    return name[:cut], name[cut + 1 :]
