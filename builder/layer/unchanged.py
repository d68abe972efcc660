"""Whether what is copied is in the parent already: BuildKit's differ leaves that out of the layer.

It compares times too. They are no part of a cache key, so the key tells what would be left out if all times were equal,
and a layer that is taken from the cache leaves out what it left out when it was made.
"""

from __future__ import annotations

from collections.abc import Iterable

from builder.layer.destination import Item
from builder.layer.overlay import read_xattrs
from builder.layer.taken import ContentDigests
from builder.layer.tree import Entry


def same_but_for_times(pairs: Iterable[tuple[Item, Entry]], contents: ContentDigests) -> frozenset[str]:
    """The paths of those items that have the bytes or link target of the parent's entry; all else is equal already."""
    same: list[str] = []
    files: list[tuple[Item, Entry]] = []
    for item, below in pairs:
        if below.is_file:
            # What comes from a build context has no capability.
            if item.keeps_capability or not read_xattrs(below.root, below.path).capability:
                files.append((item, below))
        elif not item.is_link or item.readlink() == below.readlink():
            same.append(item.path)
    copied = contents.digests([item.source for item, _ in files if item.source is not None])
    covered = contents.digests([below for _, below in files])
    return frozenset([*same, *(item.path for (item, _), one, other in zip(files, copied, covered, strict=True)
                               if one == other)])
