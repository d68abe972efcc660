"""Many ignore patterns against one path: look-ups instead of trying them one after another.

What a pattern begins and ends with tells most paths apart from it. Texts are looked up by their length; patterns with
wildcards by their first component and by what their last one begins and ends with, so that of 100,000 patterns such as
`**/x*y` only those are tried that a path's name can be meant by. What is left is tried as one expression.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from builder.golang import glob

MAX_ALIKE = 500
"""Patterns that begin and end alike: each of these has to be tried on every name that does as well."""
_KEY = 8
"""Characters of a beginning or an end that are looked up: few enough lengths to go through."""
_FEW = 32
"""Up to here str.startswith and endswith are faster than looking up."""
_SEARCHED = 200
"""Up to here one search for all texts in all paths pays off."""
_BACKTRACKING = 3
"""From so many `**` on, a backtracking matcher takes a time that grows with the path's length to that power."""
_MANY_STARS = 8
"""From more on it does beside classes too."""
_TOKEN = r"\\.|\[(?:\\.|[^\\\]])*\]|\*\*/?"
"""An escape, a class, or two stars that are in neither."""


class TooManyAlike(ValueError):
    """`position` is that of the pattern that is one too many."""

    def __init__(self, position: int) -> None:
        super().__init__(f"more than {MAX_ALIKE} patterns with wildcards begin and end alike")
        self.position = position


class Texts:
    """What patterns ask of a path; most can be told by comparing texts. Raises TooManyAlike."""

    def __init__(self, globs: Sequence[str]) -> None:
        self.exact: set[str] = set()
        prefixes: list[str] = []
        suffixes: list[str] = []
        self._wild: list[str] = []
        tails: list[str] = []
        self._buckets: dict[tuple[bool, int, int], dict[tuple[str, str, str], list[str]]] = {}
        for position, pattern in enumerate(globs):
            if not glob.has_wildcard(pattern):
                self.exact.add(pattern)
            elif pattern.startswith("**") and not glob.has_wildcard(pattern[2:]):
                suffixes.append(pattern[2:])
                if pattern.startswith("**/"):
                    self.exact.add(pattern[3:])
            elif pattern.endswith("**") and not glob.has_wildcard(pattern[:-2]):
                prefixes.append(pattern[:-2])
            else:
                self._wild.append(pattern)
                self._add(pattern, position)
                tails.append(pattern[max(map(pattern.rfind, "*?[]\\")) + 1:].removeprefix("/"))  # `**/` may be nothing
        self.prefixes = tuple(prefixes)
        self.suffixes = tuple(suffixes)
        self._tails = tuple(tails)
        """How paths end that the patterns with wildcards match: most paths do not, and comparing is faster."""
        self._ends = tuple(f"{text}\0" for text in (*suffixes, *tails))

    def _add(self, pattern: str, position: int) -> None:
        first, head, tail = _ends_of(pattern)
        bucket = self._buckets.setdefault((bool(first), len(head), len(tail)), {})
        alike = bucket.setdefault((first, head, tail), [])
        alike.append(pattern)
        if len(alike) > MAX_ALIKE:
            raise TooManyAlike(position)

    def may_match(self, paths: Sequence[str]) -> bool:
        """Whether one of the patterns may match one of `paths`: a search in all of them at once."""
        if len(self._ends) > _SEARCHED or len(self.prefixes) > _SEARCHED:
            return True
        if not self.exact.isdisjoint(paths) or any(path.startswith(self.prefixes) for path in paths if self.prefixes):
            return True
        ends = "\0".join((*paths, ""))
        return any(text in ends for text in self._ends)

    def matcher(self) -> Callable[[str], bool]:
        """Whether one of the patterns matches a path itself."""
        if max(len(self.prefixes), len(self.suffixes), len(self._wild)) <= _FEW:
            return self._small()
        exact, wild = self.exact, self._looked_up()
        starts, ends = _by_length(self.prefixes, at_end=False), _by_length(self.suffixes, at_end=True)
        return lambda path: path in exact or starts(path) or ends(path) or wild(path)

    def _small(self) -> Callable[[str], bool]:
        exact, starts, ends, tails = self.exact, self.prefixes, self.suffixes, self._tails
        wild = expressions(self._wild)
        if not wild:
            return lambda path: path in exact or path.startswith(starts) or path.endswith(ends)
        first = wild[0] if len(wild) == 1 else lambda path: next(filter(None, (match(path) for match in wild)), None)
        if not starts and not ends:
            return lambda path: path in exact or (path.endswith(tails) and first(path) is not None)
        return lambda path: (path in exact or path.startswith(starts) or path.endswith(ends)
                             or (path.endswith(tails) and first(path) is not None))

    def _looked_up(self) -> Callable[[str], bool]:
        buckets = [(*lengths, alike) for lengths, alike in self._buckets.items()]
        compiled: dict[tuple[str, str, str], list[Callable[[str], Any]]] = {}

        def matches(path: str) -> bool:
            name = path[path.rfind("/") + 1:]
            folder = path.partition("/")[0]
            length = len(name)
            for has_first, head, tail, alike in buckets:
                key = (folder if has_first else "", name[:head], name[length - tail:] if tail <= length else "")
                if key in alike:
                    if key not in compiled:
                        compiled[key] = expressions(alike[key])
                    if any(match(path) is not None for match in compiled[key]):
                        return True
            return False

        return matches


def _ends_of(pattern: str) -> tuple[str, str, str]:
    """The first component of every path that the pattern matches, and what the last begins and ends with; "" where
    that is open."""
    first, slash, _ = pattern.partition("/")
    last = pattern[pattern.rfind("/") + 1:]
    tail = pattern[max(map(pattern.rfind, "*?[]\\/")) + 1:]
    # a class may hold a slash; `**/` may be nothing, so that what is before it and behind it is one component
    vague = "**" in last or "[" in pattern or "\\" in pattern or re.search(r"[^/]\*\*/", pattern)
    head = "" if vague else re.split(r"[*?]", last, maxsplit=1)[0]
    first = first if slash and not glob.has_wildcard(first) else ""
    return first, head[:_KEY], tail[-_KEY:] if tail else ""


def _by_length(texts: Sequence[str], *, at_end: bool) -> Callable[[str], bool]:
    """Whether a path begins (or ends) with one of `texts`."""
    known: dict[int, set[str]] = {}
    for text in texts:
        known.setdefault(len(text), set()).add(text)
    rows = sorted(known.items())

    def matches(path: str) -> bool:
        length = len(path)
        for size, row in rows:
            if size > length:
                return False
            if (path[length - size:] if at_end else path[:size]) in row:
                return True
        return False

    return matches


def expressions(globs: Sequence[str]) -> list[Callable[[str], Any]]:
    """Matchers of whole paths, of all patterns together; no path takes them more than linear time."""
    plain = [expression(pattern) for pattern in globs if not _is_expensive(pattern)]
    expensive = [expression(pattern).replace("(?>", "(?:") for pattern in globs if _is_expensive(pattern)]
    found: list[Callable[[str], Any]] = [re.compile("|".join(plain)).fullmatch] if plain else []
    if expensive:
        import re2  # it knows no atomic groups, and needs none

        found += [re2.compile(text).fullmatch for text in expensive]
    return found


def _is_expensive(pattern: str) -> bool:
    return (pattern.removesuffix("**").count("**") >= _BACKTRACKING
            or ("[" in pattern and pattern.count("*") > _MANY_STARS))


def expression(pattern: str) -> str:
    """The regular expression of a pattern with wildcards; `**` and a slash behind it is any number of directories."""
    out, start = "", 0
    for token in re.finditer(_TOKEN, pattern, re.DOTALL):
        if token[0].startswith("**"):
            out += glob.translated(pattern[start:token.start()])
            start = token.end()
            out += "(?:.*/)?" if start < len(pattern) else ".*"
    out += glob.translated(pattern[start:])
    # a class may match a slash: the first fit of what is between two stars is not as good as any then
    return out.replace("(?>", "(?:") if "[" in pattern else out
