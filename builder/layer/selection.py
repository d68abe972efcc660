"""What a COPY takes: the words of its sources, looked up in trees.

A source path is followed to what it means, inside its tree. A directory stands for its contents, so a match has a root
and a list of what lies below it. What of that is taken is decided by --exclude and, with --parents, by the path itself;
a directory that is only on the way to something taken is *implied*: it is in the result if something below it is.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence

import msgspec

from builder.errors import ContextError
from builder.golang.glob import contains_wildcards
from builder.golang.paths import clean_beneath
from builder.language.ignore import IgnoreRules, MatchState
from builder.layer.resolution import canonical
from builder.layer.tree import Entry, FileTree
from builder.plan.vertices import Copy, CopySource

"""A backslash alone makes no pattern: `a\\b` is the file of that name."""

PIVOT = "/./"
"""In a --parents source: only the components after it are re-created."""


class SourceMissing(ContextError):
    """A source that must exist does not; `excluded_by` is the ignore rule that hides it, `known` what is beside it."""

    code = "copy-source-missing"

    def __init__(self, path: str, *, excluded_by: str = "", known: Sequence[str] = ()) -> None:
        from builder.golang.suggest import did_you_mean

        shown = "/" + path.lstrip("/")
        prefix = posixpath.join(posixpath.dirname(path), "")
        hint = did_you_mean(posixpath.basename(path), known, prefix=prefix, as_known=True)
        super().__init__(f"failed to calculate checksum of `{shown}`: not found",
                         notes=(f"excluded by {excluded_by}",) if excluded_by else (),
                         hint="add an exception (`!pattern`) to the ignore file" if excluded_by else hint)
        self.path = shown


class BadSourcePattern(ContextError):
    code = "bad-source-pattern"

    def __init__(self, pattern: str) -> None:
        super().__init__(f"`{pattern}`: syntax error in pattern")


class Selected(msgspec.Struct, frozen=True, gc=False):
    """Something below a match: `path` is relative to the match."""

    path: str
    entry: Entry
    implied: bool = False


class Match(msgspec.Struct, frozen=True):
    """One thing that a source word names."""

    name: str
    """The last component as written: the name that a file gets in a destination directory."""
    entry: Entry
    """What it is, links followed."""
    contents: Sequence[Selected] = ()
    """Parents first; empty unless `entry` is a directory."""


def select(source: CopySource, tree: FileTree, op: Copy) -> list[Match]:
    """Everything that `source` takes from `tree`, in the order in which it is copied.

    Raises SourceMissing for a path without wildcards (and for a link that leads nowhere), NothingSent,
    BadSourcePattern.
    """
    exclude = IgnoreRules.compile(op.exclude) if op.exclude else None
    matches: list[Match] = []
    for word in source.paths:
        if source.literal:
            matches.append(_match(tree, word, _followed(tree, word), exclude=exclude))
        elif op.parents:
            matches.extend(_with_parents(tree, word, exclude))
        else:
            matches.extend(_match(tree, path, _followed(tree, path), exclude=exclude) for path in expand(tree, word))
    return matches


def expand(tree: FileTree, pattern: str) -> list[str]:
    """The paths that a pattern stands for; without wildcards itself, be there such a file or not.

    Links are followed in the part before the first wildcard, not in what the wildcards run over. Raises SourceMissing
    if that part does not exist, NothingSent, BadSourcePattern.
    """
    parts = [part for part in clean_beneath(pattern).split("/") if part]
    first = next((i for i, part in enumerate(parts) if contains_wildcards(part)), None)
    if first is None:
        return ["/".join(parts)]
    from builder.golang.glob import BadPattern, compile_pattern

    base = _followed(tree, "/".join(parts[:first]))
    try:
        matchers = [compile_pattern(part) for part in parts[first:]]
    except BadPattern as error:
        raise BadSourcePattern(pattern) from error
    found = [base] if base.is_dir else []
    for depth, matcher in enumerate(matchers):
        last = depth == len(matchers) - 1
        found = [
            child
            for directory in found
            for child in tree.children(directory.path)
            if (last or child.is_dir) and matcher.fullmatch(posixpath.basename(child.path))
        ]
    if not found and first:
        from builder.layer.sent import require_sent

        require_sent(tree, base.path, pattern)
    return [entry.path for entry in found]


def _match(tree: FileTree, word: str, entry: Entry, *, include: IgnoreRules | None = None,
           exclude: IgnoreRules | None = None) -> Match:
    contents = tuple(_contents(tree, entry, include, exclude)) if entry.is_dir else ()
    return Match(posixpath.basename(clean_beneath(word)), entry, contents)


def _with_parents(tree: FileTree, word: str, exclude: IgnoreRules | None) -> Iterator[Match]:
    """--parents: the path is a pattern below the pivot, matched with all of its directories."""
    from builder.layer.sent import is_sent, require_sent

    base, pivot, pattern = word.partition(PIVOT)
    if not pivot:
        base, pattern = "", word
    pattern = clean_beneath(pattern)
    include = IgnoreRules.compile([pattern])
    required = not contains_wildcards(base) and not contains_wildcards(pattern)
    for path in expand(tree, base):
        match = _match(tree, path, _followed(tree, path), include=include, exclude=exclude)
        if required and all(selected.implied for selected in match.contents):
            raise _missing(tree, posixpath.join(path, pattern))
        if not contains_wildcards(base):
            require_sent(tree, match.entry.path, word)
        elif not is_sent(tree, match.entry.path):
            continue
        yield match


def _followed(tree: FileTree, path: str) -> Entry:
    entry = tree.lstat(canonical(tree.lstat, path))
    if entry is None:
        raise _missing(tree, path)
    return entry


def _missing(tree: FileTree, path: str) -> SourceMissing:
    cleaned = clean_beneath(path)
    excluded_by = getattr(tree, "excluded_by", None)
    siblings = tree.children(canonical(tree.lstat, posixpath.dirname(cleaned)))
    return SourceMissing(cleaned, excluded_by=(excluded_by(cleaned) or "") if excluded_by else "",
                         known=[posixpath.basename(sibling.path) for sibling in siblings])


def _contents(tree: FileTree, root: Entry, include: IgnoreRules | None,
              exclude: IgnoreRules | None) -> Iterator[Selected]:
    offset = len(root.path) + 1 if root.path else 0
    if include is None and exclude is None:
        for entry in tree.walk(root.path):
            yield Selected(entry.path[offset:], entry)
        return
    yield from _Filter(tree, offset, include, exclude).below(root)


class _Filter:
    """Walks a tree and keeps what `include` matches (everything, if None) and `exclude` does not."""

    def __init__(self, tree: FileTree, offset: int, include: IgnoreRules | None, exclude: IgnoreRules | None) -> None:
        self._tree = tree
        self._offset = offset
        self._include = include
        self._exclude = exclude

    def below(self, root: Entry) -> Iterator[Selected]:
        waiting: list[Selected] = []
        """Directories on the way that are not taken themselves and have nothing taken below them so far."""
        levels: list[tuple[Iterator[Entry], MatchState, MatchState, Selected | None]] = [
            (iter(self._tree.children(root.path)), None, None, None)
        ]
        while levels:
            entries, included, excluded, directory = levels[-1]
            entry = next(entries, None)
            if entry is None:
                levels.pop()
                if waiting and waiting[-1] is directory:
                    waiting.pop()
                continue
            path = entry.path[self._offset :]
            is_included, included = (True, None) if self._include is None else self._include.match(path, included)
            is_excluded, excluded = (False, None) if self._exclude is None else self._exclude.match(path, excluded)
            implied: Selected | None = None
            if is_included and not is_excluded:
                yield from waiting
                waiting.clear()
                yield Selected(path, entry)
            elif entry.is_dir and not (is_excluded and self._is_closed(path)):
                implied = Selected(path, entry, implied=True)
                waiting.append(implied)
            else:
                continue
            if entry.is_dir:
                levels.append((iter(self._tree.children(entry.path)), included, excluded, implied))

    def _is_closed(self, directory: str) -> bool:
        """True when no exception can bring back anything below an excluded directory."""
        return self._exclude is not None and not self._exclude.may_have_inclusions_below(directory)
