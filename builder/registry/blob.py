"""A blob while it is downloaded: bytes that are checked as they pass, and that continue after a broken connection."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from types import TracebackType

from urllib3.exceptions import HTTPError

from builder.oci import Descriptor, Digest
from builder.registry.errors import DigestMismatch, DownloadBroken, SizeMismatch, UnexpectedAnswer
from builder.registry.transport import Response

_CHUNK = 256 << 10


class BlobStream:
    """Reads like a binary file. The read that would return the end raises unless size and digest are right.

    Until then nothing that was read may be trusted: keep it in a staging place.
    """

    def __init__(self, open_at: Callable[[int], Response], descriptor: Descriptor, what: str, retries: int) -> None:
        self._open_at = open_at
        self._descriptor = descriptor
        self._what = what
        self._retries = retries
        self._hash = hashlib.sha256()
        self._response = open_at(0)
        self.offset = 0
        """Bytes read so far."""

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes (never all of them at once), b"" at the verified end.

        Raises DigestMismatch, SizeMismatch, DownloadBroken.
        """
        wanted = _CHUNK if size < 0 else size
        chunk = self._next(wanted) if wanted else b""
        if not chunk and wanted:
            self._verify()
        self._hash.update(chunk)
        self.offset += len(chunk)
        if self.offset > self._descriptor.size:
            self.close()
            raise SizeMismatch(self._what, self._descriptor.size, "more")
        return chunk

    def close(self) -> None:
        self._response.close()

    def __enter__(self) -> BlobStream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _next(self, size: int) -> bytes:
        while True:
            try:
                chunk = self._response.read(size)
                if chunk or self.offset == self._descriptor.size:
                    return chunk
                cause: Exception = EOFError(f"the connection ended after {self.offset} bytes")
            except (HTTPError, OSError) as error:
                cause = error
            self._reopen(cause)

    def _reopen(self, cause: Exception) -> None:
        self._response.close()
        if self._retries <= 0:
            raise DownloadBroken(self._what, str(cause)) from cause
        self._retries -= 1
        self._response = self._open_at(self.offset)
        if self.offset and self._response.status != 206:
            self._skip()
        elif self.offset and not self._response.headers.get("content-range", "").startswith(f"bytes {self.offset}-"):
            raise UnexpectedAnswer(self._what, "another range of bytes than asked for")

    def _skip(self) -> None:
        """The server ignores ranges and starts anew: what is known already is read again and thrown away."""
        left = self.offset
        while left:
            chunk = self._response.read(min(left, _CHUNK))
            if not chunk:
                raise DownloadBroken(self._what, "the connection ended again, before the place where it broke")
            left -= len(chunk)

    def _verify(self) -> None:
        if self.offset != self._descriptor.size:
            raise SizeMismatch(self._what, self._descriptor.size, str(self.offset))
        actual = Digest("sha256:" + self._hash.hexdigest())
        if actual != self._descriptor.digest:
            raise DigestMismatch(self._what, self._descriptor.digest, actual)
