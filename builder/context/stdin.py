"""What arrives on standard input when the context is `-`: an archive of files, or a Dockerfile alone."""

from __future__ import annotations

from typing import BinaryIO

from builder.errors import ContextError

_MAGIC = (b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
"""gzip, bzip2, xz, zstd."""
_TAR_HEADER = 512
_TAR_MAGIC = slice(257, 262)
MAX_DOCKERFILE = 16 << 20


class DockerfileTooLarge(ContextError):
    code = "stdin-too-large"

    def __init__(self) -> None:
        super().__init__(f"the Dockerfile on standard input is larger than {MAX_DOCKERFILE >> 20} MiB",
                         hint="to send a build context, give a tar archive")


def read_stream(stream: BinaryIO, scratch: str) -> bytes | None:
    """The Dockerfile that `stream` holds; None if it holds an archive, which is then unpacked in `scratch`.

    Raises DockerfileTooLarge, and what unpacking an archive raises.
    """
    start = _read(stream, _TAR_HEADER)
    if is_archive_start(start):
        from builder.layer.archive import unpack_context

        unpack_context(Replayed(start, stream), scratch)
        return None
    text = start + _read(stream, MAX_DOCKERFILE + 1 - len(start))
    if len(text) > MAX_DOCKERFILE:
        raise DockerfileTooLarge
    return text


def is_archive_start(start: bytes) -> bool:
    """Whether the first 512 bytes of a stream are those of a tar archive, compressed or not."""
    return start.startswith(_MAGIC) or _is_tar_header(start)


def _is_tar_header(start: bytes) -> bool:
    """The sum in a tar header is of its bytes, with blanks in its own place; text does not get that right by chance."""
    if len(start) < _TAR_HEADER:
        return False
    if start[_TAR_MAGIC] == b"ustar":
        return True
    field = start[148:156].strip(b" \0")
    if not field or not all(0x30 <= digit <= 0x37 for digit in field):
        return False
    return int(field, 8) == sum(start[:148]) + 8 * 0x20 + sum(start[156:_TAR_HEADER])


def _read(stream: BinaryIO, size: int) -> bytes:
    """`size` bytes, less only at the end of the stream."""
    pieces = []
    while size > 0 and (piece := stream.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


class Replayed:
    """A stream from its beginning, some of which was already read."""

    def __init__(self, start: bytes, rest: BinaryIO) -> None:
        self._start = start
        self._rest = rest

    def read(self, size: int, /) -> bytes:
        if self._start:
            piece, self._start = self._start[:size], self._start[size:]
            return piece
        return self._rest.read(size)
