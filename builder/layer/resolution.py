"""Paths inside a tree: symbolic links are followed as if the tree's root were `/`, so no path leads out of it.

Works on any tree that can look up *canonical* paths (no link among the parent components, no `.`, `..` or doubled
slash): the kernel never gets to follow a link that an image or a context brought along.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from builder.errors import ContextError
from builder.layer.tree import Entry, FileTree
from builder.rooted.root import MAX_LINKS


class TooManyLinks(ContextError):
    code = "too-many-links"

    def __init__(self, path: str) -> None:
        super().__init__(f"`{path}` leads through too many links", hint="look for a link that points at itself")


class Located(Protocol):
    """Something at a path: a link, whose target can be read, or anything else."""

    @property
    def is_link(self) -> bool: ...

    def readlink(self) -> str: ...


def canonical(at: Callable[[str], Located | None], path: str, *, follow_last: bool = True) -> str:
    """The canonical form of `path`; `at` looks up canonical paths.

    What does not exist is kept as written (`..` still takes one component away), so the answer also says where a new
    file of that name would be. Raises TooManyLinks.
    """
    pending = [name for name in reversed(path.split("/")) if name not in ("", ".")]
    done: list[str] = []
    links = 0
    while pending:
        name = pending.pop()
        if name == "..":
            if done:
                done.pop()
            continue
        done.append(name)
        if not pending and not follow_last:
            break
        entry = at("/".join(done))
        if entry is None or not entry.is_link:
            continue
        links += 1
        if links > MAX_LINKS:
            raise TooManyLinks(path)
        target = entry.readlink()
        if target.startswith("/"):
            done.clear()
        else:
            done.pop()
        pending.extend(part for part in reversed(target.split("/")) if part not in ("", "."))
    return "/".join(done)


def follow(tree: FileTree, path: str) -> Entry | None:
    """What `path` means in `tree`, a link in its last component followed too; None if there is nothing."""
    return tree.lstat(canonical(tree.lstat, path))
