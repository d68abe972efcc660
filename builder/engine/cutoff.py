"""Early cut-off: a RUN that ran again and changed the same files in the same way keeps its old layer.

What follows is keyed by layers, so it is found in the cache again: `apt-get update` without news does not rebuild the
image. BuildKit has no such thing for a step's root. Times are left out of the comparison, as they are of keys.
"""

from __future__ import annotations

import os
import stat

from builder.cache.records import Cache
from builder.layer.overlay import read_xattrs
from builder.store import Store
from builder.store.layers import LayerId

_CANDIDATES = 2
_PIECE = 1 << 20


def same_as_before(store: Store, cache: Cache, name: str, diff_dir: str) -> LayerId | None:
    """The layer that an earlier RUN of this name made, if it is equal to what is in `diff_dir` but for times."""
    for record in cache.earlier("run", name, _CANDIDATES):
        if record.layer is not None and store.has_layer(record.layer) and same_tree(
                store.layer_dir(record.layer), diff_dir):
            return record.layer
    return None


def same_tree(one: str, other: str) -> bool:
    """Whether two layer directories hold the same names, types, modes, owners, links, xattrs and bytes."""
    pairs = _same_outside(one, other)
    return pairs is not None and all(_same_bytes(a, b) for a, b in pairs)


def _same_outside(one: str, other: str) -> list[tuple[str, str]] | None:
    """The pairs of regular files whose bytes are still to be compared; None when the trees differ without them."""
    files: list[tuple[str, str]] = []
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
            files.append((a, b))
        if not stat.S_ISLNK(x.st_mode) and read_xattrs(os.fsencode(a)) != read_xattrs(os.fsencode(b)):
            return None
    return files


def _same_bytes(one: str, other: str) -> bool:
    with open(one, "rb", buffering=0) as a, open(other, "rb", buffering=0) as b:
        while True:
            piece = a.read(_PIECE)
            if piece != b.read(_PIECE):
                return False
            if not piece:
                return True
