"""`regex`, `regexall` and `regex_replace`, over RE2: Go's syntax, and no pattern takes more than linear time.

A pattern can still look at the rest of the text again for every match, so what a call may look at is limited.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from builder.bake.budget import MAX_SIZE, Budget
from builder.bake.errors import ExpressionError, MissingPackage
from builder.bake.functions.function import Function
from builder.bake.types import STRING, ListValue
from builder.bake.values import Value

MAX_TEXT = 1 << 20
_COMPILING = 100
"""What compiling a pattern costs, in the units of a Budget."""
_REFERENCE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})")


def _pattern(text: str, budget: Budget) -> Any:
    """`text` compiled for bytes of UTF-8. Raises ExpressionError."""
    try:
        import re2
    except ImportError as error:
        raise MissingPackage("google-re2", "a regular expression") from error
    budget.spend(_COMPILING + len(text))
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text.encode(), options)
    except re2.error as error:
        raise ExpressionError(f"invalid regular expression `{text}`: {_sentence(error)}") from None


def _sentence(error: Exception) -> str:
    message = error.args[0] if error.args else ""
    return message.decode(errors="replace") if isinstance(message, bytes) else str(message)


def _matches(pattern: Any, data: bytes, budget: Budget, *, abutting: bool) -> Iterator[Any]:
    """Every match, from left to right. An empty one right behind another match does not count; `abutting` says that
    this rule is the one of replacements, by which only the very first empty match does.

    Raises ExpressionError, LimitExceeded.
    """
    if len(data) > MAX_TEXT:
        raise ExpressionError(f"a text of more than {MAX_TEXT >> 10} KiB is too long for a regular expression")
    position, last_end = 0, -1
    while position <= len(data):
        budget.spend(1 + (len(data) - position >> 12))
        match = pattern.search(data, position)
        if match is None:
            return
        start, end = match.span()
        if start != end or start != last_end or (abutting and start == 0):
            yield match
        last_end = end
        position = end if end > position else position + _width(data, position)


def _width(data: bytes, position: int) -> int:
    """Of the character there."""
    first = data[position] if position < len(data) else 0
    return 1 if first < 0xC0 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode(errors="replace")


def _captured(match: Any) -> Value:
    names = match.re.groupindex
    if names and len(names) < match.re.groups:
        raise ExpressionError("either all groups of a pattern have names or none")
    if names:
        return {name.decode(): _text(match[number]) for name, number in names.items()}
    return tuple(map(_text, match.groups())) if match.re.groups else _text(match[0])


def _search(budget: Budget, pattern: str, text: str) -> Value:
    for match in _matches(_pattern(pattern, budget), text.encode(), budget, abutting=False):
        return _captured(match)
    raise ExpressionError("pattern did not match any part of the given string")


def _search_all(budget: Budget, pattern: str, text: str) -> Value:
    found = _matches(_pattern(pattern, budget), text.encode(), budget, abutting=False)
    return ListValue.of(map(_captured, found), STRING)


def _replace_matches(budget: Budget, text: str, pattern: str, replacement: str) -> str:
    """`$1`, `${1}` and `$name` in the replacement are groups, `$$` is a dollar; what there is no group for is empty."""
    compiled, data = _pattern(pattern, budget), text.encode()
    parts: list[str] = []
    position, size = 0, 0
    for match in _matches(compiled, data, budget, abutting=True):
        expanded = _expanded(replacement, match)
        size += len(expanded)
        if size > MAX_SIZE:
            budget.text(size)
        parts += [data[position:match.start()].decode(errors="replace"), expanded]
        position = match.end()
    budget.text(size)
    return "".join((*parts, data[position:].decode(errors="replace")))


def _expanded(replacement: str, match: Any) -> str:
    def group(reference: re.Match[str]) -> str:
        name = reference[1] or reference[2]
        if name is None:
            return "$"
        if name.isascii() and name.isdigit():
            known = len(name) < 9 and int(name) <= match.re.groups
            return (_text(match[int(name)]) or "") if known else ""
        number = match.re.groupindex.get(name.encode())
        return "" if number is None else _text(match[number]) or ""

    return _REFERENCE.sub(group, replacement) if "$" in replacement else replacement


FUNCTIONS = {
    "regex": Function(_search, ("string", "string"), counts=True),
    "regexall": Function(_search_all, ("string", "string"), counts=True),
    "regex_replace": Function(_replace_matches, ("string", "string", "string"), counts=True),
}
