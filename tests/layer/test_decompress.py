from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
from collections.abc import Callable

import pytest
import zstandard

from builder.layer.decompress import PIECE, ArchiveDamaged, ArchiveTooLarge, Packing, decompressor, detect

DATA = random.Random(3).randbytes(3000) * 50
SKIPPABLE = b"\x5a\x2a\x4d\x18\x05\0\0\0abcde"


def zstd_stream(data: bytes) -> bytes:
    """A frame without its content's size and with a checksum, as a stream gives."""
    out = zstandard.ZstdCompressor(write_checksum=True, write_content_size=False).compressobj()
    return out.compress(data) + out.flush()


PACKERS: dict[str, tuple[Packing, Callable[[bytes], bytes]]] = {
    "none": (Packing.NONE, bytes),
    "gzip": (Packing.GZIP, gzip.compress),
    "xz": (Packing.XZ, lzma.compress),
    "bzip2": (Packing.BZIP2, bz2.compress),
    "zstd": (Packing.ZSTD, zstandard.compress),
    "zstd-stream": (Packing.ZSTD, zstd_stream),
}
COMPRESSED = [name for name in PACKERS if name != "none"]


@pytest.mark.parametrize("name", PACKERS)
def test_a_stream_is_told_by_its_start_and_read_to_its_end(name: str) -> None:
    packing, pack = PACKERS[name]
    source = io.BytesIO(pack(DATA))
    stream = decompressor(source)
    assert stream.packing is packing
    assert stream.read() == DATA
    assert source.read() == b""


@pytest.mark.parametrize("name", COMPRESSED)
def test_several_members_are_one_stream(name: str) -> None:
    pack = PACKERS[name][1]
    assert decompressor(io.BytesIO(pack(DATA) + pack(b"") + pack(b"end"))).read() == DATA + b"end"


@pytest.mark.parametrize("name", ["gzip", "xz", "bzip2"])
def test_zero_bytes_behind_a_member_are_padding(name: str) -> None:
    assert decompressor(io.BytesIO(PACKERS[name][1](DATA) + bytes(3000))).read() == DATA


def test_skippable_frames_of_zstd_are_skipped() -> None:
    packed = SKIPPABLE + zstandard.compress(DATA) + SKIPPABLE
    assert detect(packed) is Packing.ZSTD
    assert decompressor(io.BytesIO(packed)).read() == DATA


@pytest.mark.parametrize("name", COMPRESSED)
@pytest.mark.parametrize("damage", ["cut", "cut-at-the-end", "flipped", "followed"])
def test_damage_is_an_error(name: str, damage: str) -> None:
    packed = PACKERS[name][1](DATA)
    middle = len(packed) // 2
    bad = {
        "cut": packed[:middle],
        "cut-at-the-end": packed[:-3],
        "flipped": packed[:middle] + bytes([packed[middle] ^ 255]) + packed[middle + 1 :],
        "followed": packed + b"garbage of some length",
    }[damage]
    if (name, damage) == ("zstd", "flipped"):
        bad = packed[:5] + b"\xff" + packed[6:]  # this frame has no checksum
    with pytest.raises(ArchiveDamaged, match="archive is damaged") as caught:
        decompressor(io.BytesIO(bad)).read()
    assert caught.value.cause


def test_zstd_cut_between_two_blocks_is_an_error() -> None:
    packed = zstandard.compress(random.Random(4).randbytes(300 << 10))
    for cut in range(len(packed) - 128 - (128 << 10), len(packed) - (128 << 10)):
        with pytest.raises(ArchiveDamaged):
            decompressor(io.BytesIO(packed[:cut])).read()


@pytest.mark.parametrize("name", COMPRESSED)
def test_a_bomb_is_stopped_at_its_limit_and_never_held_whole(name: str) -> None:
    bomb = PACKERS[name][1](bytes(8 << 20))
    assert max(len(piece) for piece in decompressor(io.BytesIO(bomb))) <= PIECE
    taken = 0
    with pytest.raises(ArchiveTooLarge, match="layer holds more than 5000000 bytes"):
        for piece in decompressor(io.BytesIO(bomb), what="layer", limit=5_000_000):
            taken += len(piece)
    assert taken <= 5_000_000


def test_small_reads_give_the_same() -> None:
    stream = decompressor(io.BytesIO(gzip.compress(DATA)))
    assert b"".join(iter(lambda: stream.read(1000), b"")) == DATA


@pytest.mark.parametrize("start", [b"", b"\x1f", b"P", b"\x50\x2a\x4d", b"BZ", b"\xfd7zXZ"])
def test_short_streams_are_what_they_are(start: bytes) -> None:
    stream = decompressor(io.BytesIO(start))
    assert (stream.packing, stream.read()) == (Packing.NONE, start)
