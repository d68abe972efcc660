"""Whether layers and files are the same, by reading both: the cheapest differences are looked for first."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from builder.layer.overlay import read_xattrs
from builder.rooted.root import DIRECTORY, Directory

Opener: TypeAlias = Callable[[], int]
"""Gives a descriptor to read from."""

_PIECE = 1 << 20
_TASTED = 16
"""Files whose bytes are compared as they are come by: where a step wrote other bytes, it mostly did so in all files."""


def same_layer(one: str, other: str) -> bool:
    """Whether two layer directories hold the same but for times: names, types, modes, owners, links, xattrs, bytes."""
    pairs = _same_outside(one, other)
    return pairs is not None and all(have_same_bytes(a, b) for a, b in pairs)


def _same_outside(one: str, other: str) -> list[tuple[Opener, Opener]] | None:
    """The pairs of regular files whose bytes are still to be compared; None when it is known that the trees differ."""
    files: list[tuple[Opener, Opener]] = []
    tasted = 0
    links: dict[tuple[int, int], tuple[int, int]] = {}
    todo = [(Directory(os.open(one, DIRECTORY)), Directory(os.open(other, DIRECTORY)), "")]
    while todo:
        a, b, name = todo.pop()
        x, y = (a.lstat(name), b.lstat(name)) if name else (os.stat(a.fd), os.stat(b.fd))
        if (x.st_mode, x.st_uid, x.st_gid, x.st_rdev) != (y.st_mode, y.st_uid, y.st_gid, y.st_rdev):
            return None
        if stat.S_ISDIR(x.st_mode):
            if read_xattrs(a, name) != read_xattrs(b, name):
                return None
            inner, others = (a.enter(name), b.enter(name)) if name else (a, b)
            names = inner.names()
            if names != others.names():
                return None
            todo += [(inner, others, name) for name in names]
            continue
        if stat.S_ISLNK(x.st_mode):
            if a.readlink(name) != b.readlink(name):
                return None
            continue
        if stat.S_ISREG(x.st_mode):
            if x.st_size != y.st_size or links.setdefault((x.st_dev, x.st_ino), (y.st_dev, y.st_ino)) != (
                    y.st_dev, y.st_ino) or x.st_nlink != y.st_nlink:
                return None
            pair = partial(a.open, name), partial(b.open, name)
            if tasted < _TASTED and x.st_size <= _PIECE:
                tasted += 1
                if not have_same_bytes(*pair):
                    return None
            else:
                files.append(pair)
        if read_xattrs(a, name) != read_xattrs(b, name):
            return None
    return files


def have_same_bytes(one: Opener, other: Opener) -> bool:
    """Of two regular files of one size, which are opened and closed."""
    with open(one(), "rb", buffering=0) as a, open(other(), "rb", buffering=0) as b:
        while True:
            piece = a.read(_PIECE)
            if piece != b.read(_PIECE):
                return False
            if not piece:
                return True
