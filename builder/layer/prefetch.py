"""A stream read ahead on a thread: decompressing and hashing go on while files are written."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator
from queue import SimpleQueue

_AHEAD = 6
"""Pieces read but not taken; a piece is 1 MiB at most."""


class Prefetch:
    """Iterates over `pieces` from another thread, raising here what they raise. As a context it ends the thread.

    `digest()` and `size` are those of all pieces, complete once the iteration has ended.
    """

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._source = pieces
        self._ready: SimpleQueue[bytes | BaseException] = SimpleQueue()
        self._room = threading.Semaphore(_AHEAD)
        self._stopped = False
        self._hash = hashlib.sha256()
        self.size = 0
        self._thread = threading.Thread(target=self._read, name="layer-read", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[bytes]:
        while True:
            piece = self._ready.get()
            if isinstance(piece, BaseException):
                raise piece
            if not piece:
                return
            yield piece
            self._room.release()

    def digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()

    def __enter__(self) -> Prefetch:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        self._room.release()
        self._thread.join()

    def _read(self) -> None:
        try:
            for piece in self._source:
                self._hash.update(piece)
                self.size += len(piece)
                self._room.acquire()
                if self._stopped:
                    return
                self._ready.put(piece)
            self._ready.put(b"")
        except BaseException as error:
            self._ready.put(error)
