"""A stream that checks what passes through it against a descriptor."""

from __future__ import annotations

import hashlib
from types import TracebackType
from typing import IO

from builder.oci import Descriptor, Digest
from builder.registry.errors import DigestMismatch, SizeMismatch

_CHUNK = 256 << 10


class VerifiedStream:
    """Reads like a binary file. The read that would return the end raises unless size and digest are right.

    Until then nothing that was read may be trusted: keep it in a staging place.
    """

    def __init__(self, source: IO[bytes], descriptor: Descriptor, what: str, *, hashing: bool = True) -> None:
        """Without `hashing` only the size is checked: for callers that hash what they read anyway."""
        self.descriptor = descriptor
        self.what = what
        self.offset = 0
        """Bytes read so far."""
        self._source = source
        self._hash = hashlib.sha256() if hashing else None

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes (never all of them at once), b"" at the verified end.

        Raises DigestMismatch, SizeMismatch, and what the source raises.
        """
        wanted = _CHUNK if size < 0 else size
        chunk = self.read_source(wanted) if wanted else b""
        if not chunk and wanted:
            self._verify()
        if self._hash:
            self._hash.update(chunk)
        self.offset += len(chunk)
        if self.offset > self.descriptor.size:
            self.close()
            raise SizeMismatch(self.what, self.descriptor.size, "more")
        return chunk

    def read_source(self, size: int) -> bytes:
        return self._source.read(size)

    def close(self) -> None:
        self._source.close()

    def __enter__(self) -> VerifiedStream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _verify(self) -> None:
        if self.offset != self.descriptor.size:
            raise SizeMismatch(self.what, self.descriptor.size, str(self.offset))
        actual = Digest("sha256:" + self._hash.hexdigest()) if self._hash else self.descriptor.digest
        if actual != self.descriptor.digest:
            raise DigestMismatch(self.what, self.descriptor.digest, actual)
