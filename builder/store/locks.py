"""Locks between processes and threads: flock(2) on files, released by the kernel when their holder dies.

Every acquisition opens its own file description, so threads of one process exclude each other as processes do.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from types import TracebackType

from builder.errors import Cancelled
from builder.hashing import blake2b

_FIRST_WAIT, _LONGEST_WAIT = 0.002, 0.05  # seconds between tries of a wait that can be cancelled


class Lock:
    """flock(2) on `path`; a context manager, not re-entrant.

    The file is made if it is missing. With `ephemeral` the holder removes it on release: the next holder looks
    whether its file is still the one at `path`, and starts again if not.
    """

    def __init__(self, path: str, *, exclusive: bool = True, ephemeral: bool = False,
                 cancelled: threading.Event | None = None) -> None:
        self._path = path
        self._operation = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        self._ephemeral = ephemeral
        self._cancelled = cancelled
        self._fd = -1

    def acquire(self, *, wait: bool = True) -> bool:
        """Takes the lock; False when `wait` is false and another holds it. Raises Cancelled when the event is set."""
        while True:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                taken = self._flock(fd, wait)
            except BaseException:
                os.close(fd)
                raise
            if taken and _is_at(self._path, fd):
                self._fd = fd
                return True
            os.close(fd)
            if not taken:
                return False

    def is_current(self) -> bool:
        """Whether the lock is held, and its file is still the one at the path: who removed that did not wait for us."""
        return self._fd >= 0 and _is_at(self._path, self._fd)

    def release(self) -> None:
        """Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            if self._ephemeral:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._path)
            os.close(fd)

    def __enter__(self) -> Lock:
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.release()

    def _flock(self, fd: int, wait: bool) -> bool:
        if wait and self._cancelled is None:
            fcntl.flock(fd, self._operation)
            return True
        pause = _FIRST_WAIT
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(fd, self._operation | fcntl.LOCK_NB)
                return True
            if not wait:
                return False
            if self._cancelled is not None and self._cancelled.wait(pause):
                raise Cancelled("cancelled while waiting for another build")
            pause = min(pause * 2, _LONGEST_WAIT)


def named_lock(root: str, name: str, cancelled: threading.Event | None = None) -> Lock:
    """The exclusive lock of that name in the store; its file is there only while the lock is held or waited for."""
    hashed = blake2b(name.encode(), digest_size=16).hexdigest()
    return Lock(os.path.join(root, "locks", f"named-{hashed}"), ephemeral=True, cancelled=cancelled)


def is_locked(path: str) -> bool:
    """Whether somebody holds a lock on the existing file `path`."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _is_at(path: str, fd: int) -> bool:
    try:
        return os.stat(path).st_ino == os.fstat(fd).st_ino
    except FileNotFoundError:
        return False
