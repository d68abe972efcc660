"""Connections whose answers have to keep coming.

A read timeout alone ends with the first byte, so a server that sends one byte a minute holds a build for days. As git
(http.lowSpeedTime), curl (--speed-time) and containerd's CRI (image_pull_progress_timeout, 5 minutes) do, an answer is
given up that brings less than a byte a second. Only the time spent waiting counts, not what is done with the bytes.

What comes fast has to end as well: before and after the body at most as much is read as Go's client reads of a head
(Transport.MaxResponseHeaderBytes), else interim answers or trailers without end hold a build as well.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import math
import time
from collections.abc import Iterator
from typing import Any

from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_MAX_HEAD = 10 << 20


class TooSlow(OSError):
    """Not a TimeoutError, whose words urllib3 replaces by its own."""


class TooLong(OSError):
    pass


def pool_classes(seconds: float) -> dict[str, type[HTTPConnectionPool]]:
    """For urllib3's pool_classes_by_scheme; `seconds` is how long an answer may be slower than a byte a second."""
    class Answer(http.client.HTTPResponse):
        def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
            super().__init__(sock, *args, **options)
            self._steady = _Steady(self.fp.detach(), seconds)
            self.fp = io.BufferedReader(self._steady)

        def begin(self) -> None:
            with self._steady.at_most(_MAX_HEAD):
                super().begin()

        def _read_and_discard_trailer(self) -> None:
            with self._steady.at_most(_MAX_HEAD):
                super()._read_and_discard_trailer()  # type: ignore[misc]

    def watched(pool: type[HTTPConnectionPool]) -> type[HTTPConnectionPool]:
        connection = pool.ConnectionCls  # messages begin with the names of both classes
        steady = type(connection.__name__, (connection,), {"response_class": Answer})
        return type(pool.__name__, (pool,), {"ConnectionCls": steady})

    return {"http": watched(HTTPConnectionPool), "https": watched(HTTPSConnectionPool)}


class _Steady(io.RawIOBase):
    """The bytes of `raw`. Raises TooSlow, TooLong."""

    def __init__(self, raw: io.RawIOBase, seconds: float) -> None:
        self._raw, self._seconds = raw, seconds
        self._waited, self._received = 0.0, 0
        self._left: float = math.inf

    @contextlib.contextmanager
    def at_most(self, size: int) -> Iterator[None]:
        """So many bytes may come meanwhile."""
        self._left = size
        yield
        self._left = math.inf

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        begin = time.monotonic()
        count: int | None = self._raw.readinto(buffer)
        self._waited += time.monotonic() - begin
        self._received += count or 0
        self._left -= count or 0
        if self._left < 0:
            raise TooLong("what is not the body is longer than 10 MiB")
        if self._waited >= self._seconds:
            if count and self._received < self._waited:
                raise TooSlow(f"{self._received} bytes in {self._waited:.0f} s are too slow")
            self._waited, self._received = 0.0, 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()
