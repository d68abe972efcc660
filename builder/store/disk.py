"""Disk space: measuring trees, removing them, and what a full disk is called."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct

from builder.errors import StoreError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_BLOCK = 512  # the unit of st_blocks, whatever the file system's own block is
_DEEP = 64
_GETFLAGS, _SETFLAGS = 0x80086601, 0x40086602  # FS_IOC_GETFLAGS, FS_IOC_SETFLAGS (linux/fs.h, 64-bit long)
_IMMUTABLE, _APPEND_ONLY = 0x10, 0x20


class StoreFull(StoreError):
    code = "store-full"

    def __init__(self, root: str, cause: str = "") -> None:
        super().__init__(f"no space left for the state folder `{root}`", cause=cause or None,
                         notes=("nothing that was finished is lost",),
                         hint="free space with `builder prune`, or use another folder with `--root`")


def is_full(error: BaseException | None) -> bool:
    """Whether the error says that the disk, or the user's share of it, is full."""
    return isinstance(error, OSError) and error.errno in _FULL


def tree_size(path: str) -> int:
    """Bytes that a file or tree takes on disk; hard links within it count once, what vanishes meanwhile not at all."""
    try:
        top = os.lstat(path)
    except OSError:
        return 0
    total, seen, todo = top.st_blocks * _BLOCK, set(), [path] if stat.S_ISDIR(top.st_mode) else []
    while todo:
        with contextlib.suppress(OSError), os.scandir(todo.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
                info = entry.stat(follow_symlinks=False)
                if info.st_nlink > 1 and not stat.S_ISDIR(info.st_mode):
                    if info.st_ino in seen:
                        continue
                    seen.add(info.st_ino)
                total += info.st_blocks * _BLOCK
    return total


def copy_attributes(source: str, target: str) -> None:
    """Gives the directory `target` owner, extended attributes, mode and times of the directory `source`."""
    import shutil

    info = os.stat(source)
    with contextlib.suppress(PermissionError):  # of a store that one user owns: the owner is in the attributes
        os.chown(target, info.st_uid, info.st_gid)
    shutil.copystat(source, target)


def free_space(path: str) -> tuple[int, int]:
    """(total, free) bytes of the file system, free as an unprivileged process may use it."""
    info = os.statvfs(path)
    return info.f_blocks * info.f_frsize, info.f_bavail * info.f_frsize


def remove_tree(path: str) -> None:
    """Removes a file or a tree, however deep, read-only or immutable it is. What is already gone is no error."""
    todo = [path]
    while todo:
        top = todo.pop()
        _remove(top, top, 0, todo)


def _remove(path: str, top: str, depth: int, later: list[str]) -> None:
    try:
        _try_remove(path, top, depth, later)
    except FileNotFoundError:
        return
    except PermissionError:
        _unprotect(path)
        with contextlib.suppress(FileNotFoundError):
            _try_remove(path, top, depth, later)


def _try_remove(path: str, top: str, depth: int, later: list[str]) -> None:
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        os.unlink(path)
        return
    if depth > _DEEP:
        # A tree may be deeper than PATH_MAX: move the rest up, beside the top, and go on from there.
        lifted = f"{top}.{len(later)}-{os.urandom(4).hex()}"
        os.rename(path, lifted)
        later.append(lifted)
        return
    with os.scandir(path) as entries:
        names = [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for child, is_dir in names:
        if is_dir:
            _remove(child, top, depth + 1, later)
        else:
            try:
                os.unlink(child)
            except PermissionError:
                _unprotect(path)
                _remove(child, top, depth + 1, later)
            except FileNotFoundError:
                pass
    os.rmdir(path)


def _unprotect(path: str) -> None:
    """Makes a tree's member removable: clears the immutable flag (chattr +i), and gives directories to their owner."""
    with contextlib.suppress(OSError):
        if stat.S_ISDIR(os.lstat(path).st_mode):
            os.chmod(path, 0o700)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    with contextlib.suppress(OSError):
        flags = struct.unpack("l", fcntl.ioctl(fd, _GETFLAGS, b"\0" * struct.calcsize("l")))[0]
        if flags & (_IMMUTABLE | _APPEND_ONLY):
            fcntl.ioctl(fd, _SETFLAGS, struct.pack("l", flags & ~(_IMMUTABLE | _APPEND_ONLY)))
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                os.fchmod(fd, 0o700)
    os.close(fd)
