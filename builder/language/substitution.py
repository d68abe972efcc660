"""The patterns of `${name#pattern}`, `${name%pattern}` and `${name/pattern/text}`.

`*` is any run of characters, `?` one character, neither a line end; `\\*`, `\\?`, `\\\\`, `\\}` and `\\/` are literal;
any other escape is an error; `[` has no special meaning. Matching runs in atomic groups, one for each `*`, so that no
pattern makes it backtrack, and goes through each line of a value once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import msgspec

_ESCAPABLE = frozenset("*?\\}/")
_MAX_WORK = 1 << 28
"""Characters of a value times those of a pattern with `*` or `?`: a few seconds. Go would take as long as it takes."""
_MAX_ACROSS_LINES = 1 << 14
"""Characters of a value in which a pattern with both `*` and a line end is looked for: at each of them anew."""
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
    _check_work(value, pattern)
    match = _compiled(pattern, longest).whole.match(value)
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
    _check_work(value, pattern)
    found = _matches(value, _compiled(pattern, True), pattern)
    if not every:
        match = next(found, None)
        return value if match is None else value[:match.start()] + text + value[match.end():]
    parts = _around_matches(text)
    constant = "".join(parts)
    out: list[str] = []
    end = size = 0
    previous = -1
    for match in found:
        if match.end() == match.start() == previous:
            continue  # an empty match right behind another one does not count
        out += value[end:match.start()], match[0].join(parts) if match[0] else constant
        end = previous = match.end()
        size += len(out[-2]) + len(out[-1])
        if size > limit:
            raise TooLong
    return "".join(out) + value[end:]


def _check_work(value: str, pattern: str) -> None:
    if len(value) * len(pattern) > _MAX_WORK and ("*" in pattern or "?" in pattern):
        raise BadPattern(pattern[:40], f"it is too long to be looked for in {len(value)} characters")


def _matches(value: str, compiled: _Compiled, pattern: str) -> Iterator[re.Match[str]]:
    """One after the other, as `finditer` has them.

    No run crosses a line end. So where a pattern does not match from the first place in a line at which its beginning
    does, it matches from none behind that either: what is missing there is missing for all. Each line is looked through
    once, not once for each of its characters.
    """
    if not compiled.has_runs or "\n" in pattern:
        if compiled.has_runs and len(value) > _MAX_ACROSS_LINES:
            raise BadPattern(pattern[:40], "it has a `*` and a line end, and is looked for in more than "
                                           f"{_MAX_ACROSS_LINES} characters")
        yield from compiled.whole.finditer(value)
        return
    line = 0
    while line <= len(value):
        end = value.find("\n", line)
        end = len(value) if end < 0 else end
        start = line
        while start <= end and (head := compiled.head.search(value, start, end)) and (
                match := compiled.whole.match(value, head.start(), end)):
            yield match
            start = match.end() + (match.end() == match.start())
        line = end + 1


def _around_matches(template: str) -> list[str]:
    """What of `template` stays the same, parted where the match goes: read once, however many matches there are."""
    parts, end = [""], 0
    for reference in re.finditer(_TEMPLATE, template):
        parts[-1] += template[end:reference.start()] + ("$" if reference[1] else "")
        if (reference[2] or reference[3]) == "0":
            parts.append("")
        end = reference.end()
    parts[-1] += template[end:]
    return parts


class _Compiled(msgspec.Struct, frozen=True):
    whole: re.Pattern[str]
    head: re.Pattern[str]
    """What comes before the first run."""
    has_runs: bool


@lru_cache(maxsize=256)
def _compiled(pattern: str, longest: bool) -> _Compiled:
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
        return _Compiled(whole := re.compile(first), whole, False)
    *middle, last = rest
    wild = ".*" if longest else ".*?"
    whole = re.compile(first + "".join(f"(?>.*?{segment})" for segment in middle) + wild + last)
    return _Compiled(whole, re.compile(first), True)


def _unescaped(tokens: Iterator[str], pattern: str) -> str:
    char = next(tokens, "\ufffd")
    if char not in _ESCAPABLE:
        raise BadPattern(pattern, f"invalid escape '\\{char}'")
    return char
