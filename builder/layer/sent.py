"""What BuildKit would be sent of a directory on this machine: what some instruction of the build names, and no more.

It shows where a pattern matches nothing: the directory that it starts from is only there if another source brings it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from builder.errors import ContextError
from builder.golang.glob import contains_wildcards
from builder.golang.paths import clean_beneath
from builder.language.ignore import IgnoreRules
from builder.layer.resolution import canonical
from builder.layer.tree import FileTree


class NothingSent(ContextError):
    code = "copy-source-missing"

    def __init__(self, path: str, pattern: str) -> None:
        super().__init__(f"lstat /{path}: no such file or directory",
                         notes=(f"nothing matches `{pattern}`, and nothing else of `/{path}` is taken",))


def require_sent(tree: FileTree, path: str, pattern: str) -> None:
    """Raises NothingSent unless `path` is there for `pattern`, which matches nothing in it."""
    if not is_sent(tree, path):
        raise NothingSent(path, pattern)


def is_sent(tree: FileTree, path: str) -> bool:
    """Whether anything brings the canonical `path`: itself, a directory that it is in, or something in it."""
    named: Iterable[str] | None = getattr(tree, "named", None)
    if named is None or not path:
        return True
    words = {_resolved(tree, clean_beneath(word)) for word in named}
    if "" in words:
        return True
    rules = IgnoreRules.compile(words)
    matched, state = rules.match(path, rules.match_parents(posixpath.dirname(path)))
    pending = [(path, state)]
    while not matched and pending:
        directory, above = pending.pop()
        for entry in tree.children(directory):
            matched, state = rules.match(entry.path, above)
            if matched:
                break
            if entry.is_dir:
                pending.append((entry.path, state))
    return matched


def _resolved(tree: FileTree, word: str) -> str:
    """Links are followed in the part before the first wildcard; a word without one is followed to the end."""
    parts = word.split("/")
    first = next((i for i, part in enumerate(parts) if contains_wildcards(part)), len(parts))
    return "/".join([*canonical(tree.lstat, "/".join(parts[:first])).split("/"), *parts[first:]]).strip("/")
