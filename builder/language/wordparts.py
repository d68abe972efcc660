"""The parts of a word as values: what `wordreader` makes of its text, and `words` evaluates."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class Escaped(msgspec.Struct, frozen=True, array_like=True, tag="e"):
    """A character behind an escape character; in double quotes the escape character that escapes nothing."""

    text: str


class Single(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    text: str


class HeredocMark(msgspec.Struct, frozen=True, array_like=True, tag="h"):
    """`<<` with the blanks behind it, so that a here-document's name belongs to its word."""

    text: str


class Double(msgspec.Struct, frozen=True, array_like=True, tag="d"):
    parts: Parts
    is_closed: bool


class Variable(msgspec.Struct, frozen=True, array_like=True, tag="v"):
    name: str
    in_braces: bool


class Conditional(msgspec.Struct, frozen=True, array_like=True, tag="c"):
    name: str
    operator: str
    """One of - + ?, with or without a colon before it; behind a colon any other character, an error."""
    word: Parts
    at_end: bool
    """Whether the text ends with it: then an error in it counts as one of the substitution around it, which is open."""


class Trimmed(msgspec.Struct, frozen=True, array_like=True, tag="t"):
    name: str
    operator: str
    pattern: Parts
    """`##` and `%%` are an operator, and a pattern that begins with it once more."""
    at_end: bool


class Replaced(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    name: str
    every: bool
    pattern: Parts
    word: Parts
    at_end: bool


class OpenOperand(msgspec.Struct, frozen=True, array_like=True, tag="o"):
    """A substitution that the text does not end."""

    operands: tuple[Parts, ...]
    raw_escapes: bool
    reason: str


class Broken(msgspec.Struct, frozen=True, array_like=True, tag="b"):
    reason: str
    at_end: bool


Part: TypeAlias = ("str | Escaped | Single | HeredocMark | Double | Variable | Conditional | Trimmed | Replaced "
                   "| OpenOperand | Broken")
Parts: TypeAlias = "tuple[Part, ...]"


class WordTable(msgspec.Struct, frozen=True):
    """The parts of a file's words by their text, of those that are not plain text."""

    words: dict[str, Parts] = {}
    bodies: dict[str, Parts] = {}
    """Of here-documents."""


NO_WORDS = WordTable()


def is_plain(text: str, escape: str) -> bool:
    """Whether nothing in `text` has a meaning of its own."""
    return not ("$" in text or '"' in text or "'" in text or escape in text or text.startswith("\ufeff"))
