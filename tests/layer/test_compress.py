from __future__ import annotations

import gzip
import hashlib
import io
import random
import threading

import pytest
import zstandard

from builder.layer.compress import CHUNK, Blob, BlobWriteFailed, compressor
from builder.oci import Compression

TEXT = random.Random(1).randbytes(2000) * 2500  # 5 MB: several chunks
KINDS = [(kind, level) for kind in Compression for level in (None, 1, 6)]


def compressed(data: bytes, kind: Compression, level: int | None = None, cut: int = 1 << 30) -> tuple[Blob, bytes]:
    out = io.BytesIO()
    with compressor(out, kind, level) as writer:
        for at in range(0, len(data), cut):
            writer.write(data[at : at + cut])
        return writer.finish(), out.getvalue()


def decompressed(data: bytes, kind: Compression) -> bytes:
    if kind is Compression.GZIP:
        return gzip.decompress(data)
    if kind is Compression.ZSTD:
        return zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
    return data


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, len(TEXT)])
@pytest.mark.parametrize(("kind", "level"), KINDS)
def test_digests_and_sizes_are_those_of_the_bytes(kind: Compression, level: int | None, size: int) -> None:
    data = TEXT[:size]
    blob, packed = compressed(data, kind, level)
    assert decompressed(packed, kind) == data
    assert (blob.diff_size, blob.size) == (size, len(packed))
    assert blob.diff_id == "sha256:" + hashlib.sha256(data).hexdigest()
    assert blob.digest == "sha256:" + hashlib.sha256(packed).hexdigest()


@pytest.mark.parametrize(("kind", "level"), KINDS)
def test_how_writes_are_cut_does_not_matter(kind: Compression, level: int | None) -> None:
    assert len({compressed(TEXT, kind, level, cut)[1] for cut in (1 << 30, 999_983, 3 << 20, CHUNK)}) == 1


def test_space_and_advance_write_without_a_copy() -> None:
    out = io.BytesIO()
    source = io.BytesIO(TEXT)
    with compressor(out, Compression.GZIP) as writer:
        while count := source.readinto(writer.space()):
            writer.advance(count)
        writer.finish()
    assert out.getvalue() == compressed(TEXT, Compression.GZIP)[1]


@pytest.mark.parametrize("kind", [Compression.GZIP, Compression.ZSTD])
def test_higher_levels_are_smaller(kind: Compression) -> None:
    text = " ".join(map(str, range(200_000))).encode()
    sizes = [compressed(text, kind, level)[0].size for level in (1, 9)]
    assert sizes[1] < sizes[0] * 0.97


@pytest.mark.parametrize("kind", Compression)
@pytest.mark.parametrize("size", [100, 20 << 20])
def test_a_full_disk_is_an_error_and_leaves_no_thread(kind: Compression, size: int) -> None:
    def write() -> None:
        noise = random.Random(2).randbytes(CHUNK)
        with open("/dev/full", "wb", buffering=0) as full, compressor(full, kind) as writer:
            for at in range(0, size, CHUNK):
                writer.write(noise[: min(size - at, CHUNK)])
            writer.finish()

    with pytest.raises(BlobWriteFailed) as caught:
        write()
    assert caught.value.cause == "No space left on device"
    assert not [thread for thread in threading.enumerate() if thread.name == "layer-blob"]


def test_giving_up_ends_the_threads() -> None:
    with pytest.raises(KeyError), compressor(io.BytesIO(), Compression.GZIP) as writer:
        writer.write(TEXT)
        raise KeyError
    assert not [thread for thread in threading.enumerate() if thread.name == "layer-blob"]
