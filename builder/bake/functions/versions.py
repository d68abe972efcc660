"""`semvercmp`: versions against constraints, as Masterminds/semver reads them."""

from __future__ import annotations

import re
from typing import TypeAlias

import msgspec

from builder.bake.errors import ExpressionError
from builder.bake.functions.function import Function

Order: TypeAlias = tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]

_VERSION = re.compile(
    r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?")
_CONSTRAINT = re.compile(
    r"(=|!=|>=|=>|<=|=<|>|<|~>|~|\^|)\s*v?([0-9]+|[xX*])(?:\.([0-9]+|[xX*]))?(?:\.([0-9]+|[xX*]))?"
    r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?")
_RANGE = re.compile(r"(\S+)\s+-\s+(\S+)")


class Version(msgspec.Struct, frozen=True):
    numbers: tuple[int, int, int]
    prerelease: str = ""

    @property
    def order(self) -> Order:
        """What versions are sorted by: a release comes after its pre-releases, numbers before words."""
        words = self.prerelease.split(".") if self.prerelease else []
        return self.numbers, not self.prerelease, tuple(
            (not word.isdigit(), int(word) if word.isdigit() else 0, word) for word in words)


def _parse(text: str) -> Version:
    match = _VERSION.fullmatch(text)
    if match is None:
        raise ExpressionError(f"invalid semantic version `{text}`")
    return Version((int(match[1]), int(match[2] or 0), int(match[3] or 0)), match[4] or "")


def _compare(version: str, constraint: str) -> bool:
    parsed = _parse(version)
    return any(_meets_all(parsed, alternative) for alternative in constraint.split("||"))


def _meets_all(version: Version, text: str) -> bool:
    text = _RANGE.sub(r">=\1 <=\2", text.strip())
    position, met = 0, True
    while position < len(text):
        match = _CONSTRAINT.match(text, position)
        if match is None:
            raise ExpressionError(f"improper constraint: `{text}`")
        met = _meets(version, match) and met
        position = match.end()
        while position < len(text) and text[position] in ", \t":
            position += 1
    if not text:
        raise ExpressionError("improper constraint: ``")
    return met


def _meets(version: Version, match: re.Match[str]) -> bool:
    operator, words, prerelease = match[1], (match[2], match[3], match[4]), match[5] or ""
    given = [int(word) for word in words if word is not None and word.isdigit()]
    for word in words:
        if word is None or not word.isdigit():
            given = given[:words.index(word)]
            break
    low = Version((*given, 0, 0, 0)[:3], prerelease)  # type: ignore[arg-type]  # always three numbers
    if version.prerelease and not prerelease:
        return operator == "!="
    partial = len(given) < 3
    match operator:
        case "" | "=" if partial:
            return _within(version, low, given, len(given))
        case "" | "=":
            return version.order == low.order
        case "!=":
            return not _within(version, low, given, len(given)) if partial else version.order != low.order
        case ">":
            return version.order > low.order and not (partial and _within(version, low, given, len(given)))
        case "<":
            return version.order < low.order
        case ">=" | "=>":
            return version.order >= low.order
        case "<=" | "=<":
            return version.order <= low.order or (partial and _within(version, low, given, len(given)))
        case "~" | "~>":
            return _within(version, low, given, min(len(given), 2))
    first = next((position for position, number in enumerate(given) if number), len(given) - 1)
    return _within(version, low, given, first + 1)


def _within(version: Version, low: Version, given: list[int], fixed: int) -> bool:
    """At least `low`, and equal to what was given in the first `fixed` numbers."""
    return version.order >= low.order and list(version.numbers[:fixed]) == given[:fixed]


FUNCTIONS = {"semvercmp": Function(_compare, ("string", "string"))}
