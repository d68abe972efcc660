"""A blob while it is downloaded: it is checked as it passes, and continues after a broken connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, cast

from builder.http.failures import Broken
from builder.http.httpclient import Response
from builder.oci import Descriptor
from builder.registry.errors import DownloadBroken, UnexpectedAnswer
from builder.registry.verified import VerifiedStream

_CHUNK = 256 << 10


class BlobStream(VerifiedStream):
    """A VerifiedStream of a registry's answer; `open_at(offset)` asks for the rest again. Raises DownloadBroken."""

    def __init__(self, open_at: Callable[[int], Response], descriptor: Descriptor, what: str, *, retries: int,
                 hashing: bool) -> None:
        self._open_at = open_at
        self._retries = retries
        self._response = open_at(0)
        super().__init__(cast(IO[bytes], self._response), descriptor, what, hashing=hashing)

    def read_source(self, size: int) -> bytes:
        while True:
            try:
                chunk = self._response.read(size)
                if chunk or self.offset == self.descriptor.size:
                    return chunk
                cause = f"the connection ended after {self.offset} bytes"
            except Broken as error:
                cause = str(error)
            self._reopen(cause)

    def close(self) -> None:
        if self.offset == self.descriptor.size:
            self._response.drain()
        self._response.close()

    def _reopen(self, cause: str) -> None:
        self._response.close()
        if self._retries <= 0:
            raise DownloadBroken(self.what, cause)
        self._retries -= 1
        self._response = self._open_at(self.offset)
        if self.offset and self._response.status != 206:
            self._skip()
        elif self.offset and not self._response.headers.get("content-range", "").startswith(f"bytes {self.offset}-"):
            raise UnexpectedAnswer(self.what, "another range of bytes than asked for")

    def _skip(self) -> None:
        """The server ignores ranges and starts anew: what is known already is read again and thrown away."""
        left = self.offset
        while left:
            try:
                chunk = self._response.read(min(left, _CHUNK))
            except Broken as error:
                raise DownloadBroken(self.what, str(error)) from error
            if not chunk:
                raise DownloadBroken(self.what, "the connection ended again, before the place where it broke")
            left -= len(chunk)
