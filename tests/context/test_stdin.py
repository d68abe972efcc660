"""What arrives on standard input as a context."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from builder.context.stdin import MAX_DOCKERFILE, DockerfileTooLarge, is_archive_start, read_stream
from builder.errors import BuilderError


class Trickle(io.RawIOBase):
    """A pipe that gives little at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data = io.BytesIO(data)
        self._step = step

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._data.read(min(size, self._step) if size >= 0 else -1)


def archive(tar_format: int = tarfile.PAX_FORMAT) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tar_format) as tar:
        for name, content in (("Dockerfile", b"FROM scratch\n"), ("d/f", b"file")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return data.getvalue()


@pytest.mark.root
@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress,
                                      zstandard.ZstdCompressor().compress], ids=["plain", "gz", "bz2", "xz", "zst"])
@pytest.mark.parametrize("step", [1 << 20, 100])
def test_archives_are_unpacked(tmp_path: Path, compress: Callable[[bytes], bytes], step: int) -> None:
    assert read_stream(Trickle(compress(archive()), step), str(tmp_path)) is None  # type: ignore[arg-type]
    assert (tmp_path / "Dockerfile").read_text() == "FROM scratch\n"
    assert (tmp_path / "d/f").read_text() == "file"


@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_format_of_tar_is_known(tar_format: int) -> None:
    assert is_archive_start(archive(tar_format)[:512])


def test_a_tar_without_magic_is_known_by_its_sum() -> None:
    header = bytearray(archive(tarfile.GNU_FORMAT)[:512])
    magic = sum(header[257:265])
    header[257:265] = bytes(8)
    header[148:154] = b"%06o" % (int(bytes(header[148:154]), 8) - magic)
    assert is_archive_start(bytes(header))
    header[0] ^= 1
    assert not is_archive_start(bytes(header))


@pytest.mark.parametrize("text", [b"", b"FROM scratch\n", b"# " + b"x" * 600 + b"\nFROM scratch\n", b"\0" * 512,
                                  b"0" * 2000, b"\x1f\x8b"])
@pytest.mark.parametrize("step", [1 << 20, 7])
def test_anything_else_is_a_dockerfile(tmp_path: Path, text: bytes, step: int) -> None:
    assert read_stream(Trickle(text, step), str(tmp_path)) == text  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == []


def test_limits(tmp_path: Path) -> None:
    with pytest.raises(DockerfileTooLarge, match="larger than 16 MiB"):
        read_stream(io.BytesIO(b"#" * (MAX_DOCKERFILE + 1)), str(tmp_path))
    with pytest.raises(BuilderError):
        read_stream(io.BytesIO(gzip.compress(archive())[:60]), str(tmp_path))
