"""Whether layers and files are the same, by reading both: the cheapest differences are looked for first."""

from __future__ import annotations

import os
import stat

from builder.layer.overlay import read_xattrs

_PIECE = 1 << 20
_TASTED = 16
"""Files whose bytes are compared as they are come by: where a step wrote other bytes, it mostly did so in all files."""


def same_layer(one: str, other: str) -> bool:
    """Whether two layer directories hold the same but for times: names, types, modes, owners, links, xattrs, bytes."""
    pairs = _same_outside(one, other)
    return pairs is not None and all(have_same_bytes(a, b) for a, b in pairs)


def _same_outside(one: str, other: str) -> list[tuple[str, str]] | None:
    """The pairs of regular files whose bytes are still to be compared; None when it is known that the trees differ."""
    files: list[tuple[str, str]] = []
    tasted = 0
    links: dict[tuple[int, int], tuple[int, int]] = {}
    todo = [(one, other)]
    while todo:
        a, b = todo.pop()
        x, y = os.lstat(a), os.lstat(b)
        if (x.st_mode, x.st_uid, x.st_gid, x.st_rdev) != (y.st_mode, y.st_uid, y.st_gid, y.st_rdev):
            return None
        if stat.S_ISDIR(x.st_mode):
            names = sorted(os.listdir(a))
            if names != sorted(os.listdir(b)):
                return None
            todo += [(os.path.join(a, name), os.path.join(b, name)) for name in names]
        elif stat.S_ISLNK(x.st_mode):
            if os.readlink(a) != os.readlink(b):
                return None
        elif stat.S_ISREG(x.st_mode):
            if x.st_size != y.st_size or links.setdefault((x.st_dev, x.st_ino), (y.st_dev, y.st_ino)) != (
                    y.st_dev, y.st_ino) or x.st_nlink != y.st_nlink:
                return None
            if tasted < _TASTED and x.st_size <= _PIECE:
                tasted += 1
                if not have_same_bytes(a, b):
                    return None
            else:
                files.append((a, b))
        if not stat.S_ISLNK(x.st_mode) and read_xattrs(os.fsencode(a)) != read_xattrs(os.fsencode(b)):
            return None
    return files


def have_same_bytes(one: str, other: str) -> bool:
    """Of two regular files of one size."""
    with open(one, "rb", buffering=0, opener=_without_following) as a, \
            open(other, "rb", buffering=0, opener=_without_following) as b:
        while True:
            piece = a.read(_PIECE)
            if piece != b.read(_PIECE):
                return False
            if not piece:
                return True


def _without_following(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
