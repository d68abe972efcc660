"""The patterns of `${name#pattern}`, `${name%pattern}` and `${name/pattern/text}`.

`*` is any run of characters, `?` one character, neither a line end; `\\*`, `\\?`, `\\\\`, `\\}` and `\\/` are literal;
any other escape is an error; `[` has no special meaning. Matching runs in atomic groups, one for each `*`, so that no
pattern makes it backtrack.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

_ESCAPABLE = frozenset("*?\\}/")
_TEMPLATE = r"\$(?:(\$)|\{(\w+)\}|(\w+))"


class BadPattern(ValueError):
    def __init__(self, pattern: str, reason: str) -> None:
        super().__init__(reason)
        self.pattern = pattern
        self.reason = reason


class TooLong(Exception):
    """A replacement makes too much of a value."""


def without_prefix(value: str, pattern: str, *, longest: bool) -> str:
    """`value` without what `pattern` matches at its start. Raises BadPattern."""
    match = _compiled(pattern, longest).match(value)
    return value[match.end():] if match else value


def without_suffix(value: str, pattern: str, *, longest: bool) -> str:
    """`value` without what `pattern` matches at its end: a prefix in the mirror. Raises BadPattern."""
    mirrored = "".join(reversed(re.findall(r"\\.|.", pattern, re.DOTALL)))
    return without_prefix(value[::-1], mirrored, longest=longest)[::-1]


def replaced(value: str, pattern: str, text: str, *, every: bool, limit: int) -> str:
    """`value` with the first (or `every`) longest match of `pattern` replaced by `text`. Raises BadPattern, and
    TooLong where that comes to more than `limit` characters.

    With `every`, `$1` or `$name` in `text` is a reference to a group, of which there are none, so it vanishes, and `$0`
    is the match: such a `$` can only come from a variable's value.
    """
    compiled = _compiled(pattern, True)
    if not every:
        return compiled.sub(lambda _: text, value, count=1)
    out: list[str] = []
    end = size = 0
    previous = -1
    for match in compiled.finditer(value):
        if match.end() == match.start() == previous:
            continue  # an empty match right behind another one does not count
        out += value[end:match.start()], _filled(text, match[0])
        end = previous = match.end()
        size += len(out[-2]) + len(out[-1])
        if size > limit:
            raise TooLong
    return "".join(out) + value[end:]


def _filled(template: str, whole: str) -> str:
    def group(reference: re.Match[str]) -> str:
        if reference[1]:
            return "$"
        return whole if (reference[2] or reference[3]) == "0" else ""

    return re.sub(_TEMPLATE, group, template)


@lru_cache(maxsize=256)
def _compiled(pattern: str, longest: bool) -> re.Pattern[str]:
    segments = [""]
    tokens = iter(pattern)
    for token in tokens:
        if token == "*":
            segments.append("")
        elif token == "?":
            segments[-1] += "."
        else:
            segments[-1] += re.escape(_unescaped(tokens, pattern) if token == "\\" else token)
    first, *rest = segments
    if not rest:
        return re.compile(first)
    *middle, last = rest
    wild = ".*" if longest else ".*?"
    return re.compile(first + "".join(f"(?>.*?{segment})" for segment in middle) + wild + last)


def _unescaped(tokens: Iterator[str], pattern: str) -> str:
    char = next(tokens, "\ufffd")
    if char not in _ESCAPABLE:
        raise BadPattern(pattern, f"invalid escape '\\{char}'")
    return char
