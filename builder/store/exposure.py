"""Whether somebody else could make this process work for them through the state folder.

Who may write there decides what builder unpacks where, which programs git starts, which layers pass for others; a
folder swapped for a link redirects what root writes. So the folder, those in it and those above it must belong to this
user (above it, to root too) and be closed to others, but for a directory like /tmp, where nobody can rename another's
files. In a user namespace the owners of what is above may be unknown, and are not looked at.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from builder.errors import StoreError

_OVERFLOW_ID = 65534
"""Owner of what has none in this user namespace (/proc/sys/kernel/overflowuid)."""
_NOT_FOR_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class StoreExposed(StoreError):
    code = "store-exposed"

    def __init__(self, root: str, why: str, hint: str = "name a folder of your own with `--root`") -> None:
        super().__init__(f"cannot trust the state folder `{root}`", cause=why, hint=hint)


def check_root(root: str, folders: Iterable[str]) -> None:
    """Looks at `root` and the folders in it. Raises StoreExposed, OSError."""
    for folder in ("", *folders, "git"):
        path = os.path.join(root, folder) if folder else root
        try:
            check_owner(root, path)
        except FileNotFoundError:
            continue  # `git` is made later; what else is missing is for fsck
        mode = os.lstat(path).st_mode
        if mode & _NOT_FOR_OTHERS:
            raise StoreExposed(root, f"other users may write to `{path}` (mode {stat.S_IMODE(mode):04o})",
                               f"run `chmod go-w {path}` if nobody has, or name another folder with `--root`")


def check_owner(root: str, path: str) -> None:
    """Sees that `path` is a directory of this user's. Raises StoreExposed, OSError."""
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        what = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "not a directory"
        raise StoreExposed(root, f"`{path}` is {what}")
    if status.st_uid != os.geteuid():
        raise StoreExposed(root, f"`{path}` belongs to {_user(status.st_uid)}, not to {_user(os.geteuid())}")


def check_parents(root: str) -> None:
    """Looks at the folders above `root`, a path without links that need not exist. Raises StoreExposed, OSError."""
    known = {0, os.geteuid(), *(() if os.geteuid() == 0 and _knows_all_users() else (_OVERFLOW_ID,))}
    path = root
    while path != "/":
        path = os.path.dirname(path)
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            continue
        if status.st_uid not in known:
            raise StoreExposed(root, f"`{path}`, above it, belongs to {_user(status.st_uid)}, who can exchange it")
        if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
            raise StoreExposed(root, f"all users may write to `{path}`, above it, and exchange it")


def _knows_all_users() -> bool:
    with open("/proc/self/uid_map", "rb") as file:
        return file.read().split() == [b"0", b"0", b"4294967295"]


def _user(uid: int) -> str:
    import pwd

    try:
        return f"user `{pwd.getpwuid(uid).pw_name}`"
    except KeyError:
        return f"user {uid}"
