"""Whether what is copied is in the parent already: BuildKit's differ leaves that out of the layer.

It compares times too. They are no part of a cache key, so the key tells what would be left out if all times were equal,
and a layer that is taken from the cache leaves out what it left out when it was made.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from builder.layer.comparing import have_same_bytes
from builder.layer.copyfile import capability_of, check_unchanged, open_unchanged
from builder.layer.destination import Item
from builder.layer.taken import ContentDigests
from builder.layer.tree import Entry


def has_same_content(pairs: Iterable[tuple[Item, Entry]], contents: ContentDigests) -> list[str]:
    """The paths of those items that have the bytes or link target of the parent's entry; all else is equal already."""
    same = []
    files: list[tuple[Item, Entry]] = []
    for item, below in pairs:
        if below.is_file:
            files.append((item, below))
        elif _has_same_target(item, below):
            same.append(item.path)
    copied = contents.digests([item.source for item, _ in files if item.source is not None])
    covered = contents.digests([below for _, below in files])
    return same + [item.path for (item, _), one, other in zip(files, copied, covered, strict=True) if one == other]


def is_unchanged(item: Item, below: Entry) -> bool:
    """Whether the item, which is equal in all else, has the time and the content of the parent's entry as well.

    Raises SourceChanged, ContextError.
    """
    if item.mtime_ns != below.stat.st_mtime_ns:
        return False
    if not below.is_file:
        return _has_same_target(item, below)
    assert item.source is not None
    fd = open_unchanged(item.source)
    try:
        if capability_of(below.host) != (capability_of(fd) if item.keeps_capability else b""):
            return False
        same = have_same_bytes(item.host, below.host)
        check_unchanged(item.source, fd)
        return same
    finally:
        os.close(fd)


def _has_same_target(item: Item, below: Entry) -> bool:
    return not stat.S_ISLNK(item.mode) or os.readlink(item.host) == os.readlink(below.host)
