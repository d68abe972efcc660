"""Copying the bytes of one file into a layer.

Copied, never linked: what lies in the store must not change when someone edits the build context. Where the file system
can share blocks (xfs, btrfs), copy_file_range(2) does so by itself; holes stay holes.
"""

from __future__ import annotations

import errno
import os
import threading

from builder.errors import Cancelled, ContextError
from builder.layer.overlay import CAPABILITY_XATTR
from builder.layer.tree import Entry

_CHUNK = 128 << 20
"""Copied in one call, which nothing interrupts."""
_SMALL = 64 << 10
"""Up to this size reading and writing is cheaper than copy_file_range(2)."""
CHANGED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE})
"""What opening a file gives that was listed as one and no longer is."""
_NO_COPY_RANGE = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EIO})


class SourceChanged(ContextError):
    """A file is not what it was when the layer was planned: its fingerprint no longer stands for it."""

    code = "source-changed"

    def __init__(self, path: str) -> None:
        super().__init__(f"`{path}` changed while it was being copied",
                         hint="build again when nothing else writes to the files")


def open_unchanged(source: Entry) -> int:
    """A descriptor of the regular file `source`, for reading.

    Raises SourceChanged unless it is exactly the file whose status `source` holds, ContextError if it cannot be read.
    """
    try:
        fd = source.open()
    except OSError as error:
        if error.errno in CHANGED:
            raise SourceChanged(source.path) from error
        raise ContextError(f"cannot read `{source.path}`", cause=error.strerror) from error
    try:
        check_unchanged(source, fd)
    except SourceChanged:
        os.close(fd)
        raise
    return fd


def check_unchanged(source: Entry, fd: int) -> None:
    """Raises SourceChanged unless the open file still has the status that `source` holds."""
    _compare(source, os.fstat(fd))


def read_unchanged_link(source: Entry) -> str:
    """The target of the link `source`, as written. Raises SourceChanged unless its status is what `source` holds."""
    try:
        target = source.readlink()
        _compare(source, source.root.lstat(source.path))
    except OSError as error:
        raise SourceChanged(source.path) from error
    return target


def _compare(source: Entry, now: os.stat_result) -> None:
    then = source.stat
    if (
        now.st_mtime_ns != then.st_mtime_ns
        or now.st_ctime_ns != then.st_ctime_ns
        or now.st_size != then.st_size
        or now.st_ino != then.st_ino
        or now.st_dev != then.st_dev
    ):
        raise SourceChanged(source.path)


def copy_content(source: Entry, target: int, cancelled: threading.Event, *, with_capability: bool) -> bytes:
    """Copy the bytes of a regular file to the open file `target`; returns its file capability if that is wanted.

    Raises as `open_unchanged`, also if the file changes meanwhile, and Cancelled soon after the event is set.
    """
    _check_wanted(cancelled)
    fd = open_unchanged(source)
    try:
        size = source.stat.st_size
        if source.stat.st_blocks * 512 < size:
            _copy_sparse(fd, target, size, cancelled)
        elif size <= _SMALL:
            _copy_small(fd, target, size)
        else:
            _copy_range(fd, target, 0, size, cancelled)
        check_unchanged(source, fd)
        return capability_of(fd) if with_capability else b""
    finally:
        os.close(fd)


def capability_of(file: int) -> bytes:
    """The file capability of an open file, b"" without one."""
    try:  # listed first: failing to get it takes four times as long
        return os.getxattr(file, CAPABILITY_XATTR) if CAPABILITY_XATTR in os.listxattr(file) else b""
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP):
            return b""
        raise


def _copy_small(source: int, target: int, size: int) -> None:
    data = memoryview(os.read(source, size) if size else b"")
    while data:
        data = data[os.write(target, data) :]


def _check_wanted(cancelled: threading.Event) -> None:
    if cancelled.is_set():
        raise Cancelled("cancelled while files were being copied")


def _copy_range(source: int, target: int, start: int, end: int, cancelled: threading.Event) -> None:
    position = start
    while position < end:
        _check_wanted(cancelled)
        try:
            count = os.copy_file_range(source, target, min(end - position, _CHUNK), position, position)
        except OSError as error:
            if error.errno not in _NO_COPY_RANGE:
                raise
            os.lseek(target, position, os.SEEK_SET)
            count = os.sendfile(target, source, position, min(end - position, _CHUNK))
        if count == 0:
            return
        position += count


def _copy_sparse(source: int, target: int, size: int, cancelled: threading.Event) -> None:
    """Copy the data of a file with holes and leave the holes."""
    os.ftruncate(target, size)
    position = 0
    while position < size:
        try:
            start = os.lseek(source, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        position = os.lseek(source, start, os.SEEK_HOLE)
        _copy_range(source, target, start, position, cancelled)
