"""Go's path patterns (`filepath.Match`), which COPY and ADD sources are.

`*` and `?` stop at a slash; `[a-z]`, `[^a-z]` and `\\x` as in a shell, but `!` does not negate; `**` is two stars, no
more than one: only ignore files know it.
"""

from __future__ import annotations

import re
from functools import lru_cache

_SPECIAL = frozenset("*?[\\")
_WILDCARD = re.compile(r"(?:[^*?\[\\]|\\.)*[*?\[]", re.DOTALL)


class BadPattern(ValueError):
    """The pattern is malformed: an open bracket, an empty class, a backslash at the end."""

    def __init__(self, pattern: str) -> None:
        super().__init__(f"syntax error in pattern: `{pattern}`")
        self.pattern = pattern


def has_wildcard(text: str) -> bool:
    """Whether `text`, as a pattern, can match anything but itself."""
    return not _SPECIAL.isdisjoint(text)


def contains_wildcards(text: str) -> bool:
    """Whether `text` has a wildcard that no backslash escapes: what BuildKit takes for a pattern in COPY and ADD."""
    return _WILDCARD.match(text) is not None


@lru_cache(maxsize=512)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """A regular expression for `fullmatch`. Raises BadPattern."""
    return re.compile(translated(pattern))


def translated(pattern: str) -> str:
    """The text of that expression. Raises BadPattern.

    All stars but the last are atomic groups that take the first place where what follows them fits, which is how Go
    matches too: no pattern backtracks.
    """
    chunks = [""]
    position = 0
    while position < len(pattern):
        char = pattern[position]
        if char == "*":
            chunks.append("")
            position += 1
        elif char == "[":
            text, position = character_class(pattern, position)
            chunks[-1] += text
        elif char == "?":
            chunks[-1] += "[^/]"
            position += 1
        else:
            literal, position = _literal(pattern, position)
            chunks[-1] += re.escape(literal)
    first, *rest = chunks
    if not rest:
        return first
    *middle, last = rest
    return first + "".join(f"(?>[^/]*?{chunk})" for chunk in middle) + "[^/]*" + last


def character_class(pattern: str, position: int) -> tuple[str, int]:
    """The regular expression for the class that starts at `position`, and where it ends. Raises BadPattern."""
    start = position + 1
    negated = pattern.startswith("^", start)
    position = start + negated
    parts: list[str] = []
    first = position
    while position == first or not pattern.startswith("]", position):
        low, position = _class_member(pattern, position)
        high = low
        if pattern.startswith("-", position):
            high, position = _class_member(pattern, position + 1)
        if low <= high:
            parts.append(f"{re.escape(low)}-{re.escape(high)}")
    if not parts:
        return ("(?s:.)" if negated else "(?!)"), position + 1
    return f"[{'^' if negated else ''}{''.join(parts)}]", position + 1


def _class_member(pattern: str, position: int) -> tuple[str, int]:
    """A character of a class, which at least the closing bracket has to follow."""
    if pattern[position:position + 1] in ("", "-", "]"):
        raise BadPattern(pattern)
    char, position = _literal(pattern, position)
    if position >= len(pattern):
        raise BadPattern(pattern)
    return char, position


def _literal(pattern: str, position: int) -> tuple[str, int]:
    if pattern[position] == "\\":
        position += 1
        if position == len(pattern):
            raise BadPattern(pattern)
    return pattern[position], position + 1
