"""Disk space: measuring trees, and what a full disk is called."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from builder.errors import StoreError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_BLOCK = 512  # the unit of st_blocks, whatever the file system's own block is


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
