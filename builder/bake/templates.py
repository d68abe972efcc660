"""Templates: text with `${...}` and `%{...}` in it, as quoted strings, here-documents and JSON strings are.

A template of nothing but one interpolation has that expression's value, whatever its type; any other is a string.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import msgspec

from builder.bake.errors import BakeSyntaxError
from builder.bake.syntax import Conditional, Expression, Literal, Template, TemplateFor
from builder.golang.space import SPACE
from builder.source import Location

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)


class Text(msgspec.Struct, frozen=True):
    """Literal text, at most a line of it."""

    text: str
    location: Location


class Interpolation(msgspec.Struct, frozen=True):
    expression: Expression
    location: Location
    strips: tuple[bool, bool]
    """Whether `~` takes the blanks before and behind it."""


class Directive(msgspec.Struct, frozen=True):
    """`%{ if subject }`, `%{ for names in subject }`, and the words that divide and end them."""

    word: str
    names: tuple[str, str]
    """Of the key ("" if there is none) and of the value."""
    subject: Expression | None
    location: Location
    strips: tuple[bool, bool]


Part: TypeAlias = Text | Interpolation | Directive


def unescape(text: str) -> str:
    """The backslash escapes of a quoted string replaced. Raises ValueError."""

    def replace(match: re.Match[str]) -> str:
        if code := match[1] or match[2]:
            number = int(code, 16)
            if number >= 0x110000 or 0xD800 <= number < 0xE000:
                raise ValueError(f"`{match[0]}` is no character")
            return chr(number)
        if match[3] not in _ESCAPES:
            raise ValueError(f"`{match[0]}` is no escape sequence")
        return _ESCAPES[match[3]]

    return _ESCAPE.sub(replace, text) if "\\" in text else text


def template(parts: Sequence[Part], place: Location, *, flush: bool = False) -> Expression:
    """The expression of a template; with `flush` (`<<-`) the indentation that all lines share is taken away.

    Raises BakeSyntaxError for directives that do not fit together.
    """
    melded = _melded(_flushed(_stripped(parts)) if flush else _stripped(parts))
    if len(melded) == 1 and isinstance(only := melded[0], Interpolation):
        return only.expression
    return _Tree(melded, place).root()


def _stripped(parts: Sequence[Part]) -> list[Part]:
    """The marks `~` applied: each reaches into the one literal beside it."""
    found: list[Part] = []
    strip_next = False
    for part in parts:
        if isinstance(part, Text):
            found.append(Text(part.text.lstrip(SPACE), part.location) if strip_next else part)
            strip_next = False
            continue
        if part.strips[0] and found and isinstance(last := found[-1], Text):
            found[-1] = Text(last.text.rstrip(SPACE), last.location)
        found.append(part)
        strip_next = part.strips[1]
    return found


def _flushed(parts: list[Part]) -> list[Part]:
    """HCL's rule: lines are what the literals say they are after stripping, blank lines do not count."""
    starts = [position for position in range(len(parts)) if position == 0 or _ends_line(parts[position - 1])]
    indents: list[int] = []
    adjusted: list[int] = []
    for position in starts:
        part = parts[position]
        if not isinstance(part, Text):
            indents.append(0)
        elif part.text.strip(SPACE) or not part.text.endswith("\n"):
            indents.append(len(part.text) - len(part.text.lstrip(SPACE)))
            adjusted.append(position)
    cut = min(indents, default=0)
    for position in adjusted:
        part = parts[position]
        assert isinstance(part, Text)
        parts[position] = Text(part.text[cut:], part.location)
    return parts


def _ends_line(part: Part) -> bool:
    return isinstance(part, Text) and part.text.endswith("\n")


def _melded(parts: list[Part]) -> list[Part]:
    """Neighbouring literals as one."""
    found: list[Part] = []
    texts: list[Text] = []
    for part in parts:
        if isinstance(part, Text):
            texts.append(part)
            continue
        found += _joined(texts)
        texts.clear()
        found.append(part)
    return found + _joined(texts)


def _joined(texts: list[Text]) -> list[Part]:
    return [Text("".join(text.text for text in texts), texts[0].location)] if texts else []


class _Tree:
    """From a row of parts to nested expressions."""

    def __init__(self, parts: Sequence[Part], place: Location) -> None:
        self._parts: Iterator[Part] = iter(parts)
        self._place = place
        self._depth = 0

    def root(self) -> Expression:
        body, end = self._body()
        if end is not None:
            raise BakeSyntaxError(f"`{end.word}` has no place in the template here", location=end.location)
        return _template(body, self._place)

    def _body(self) -> tuple[list[Expression], Directive | None]:
        """What comes up to a directive that opens nothing, and that directive."""
        found: list[Expression] = []
        for part in self._parts:
            match part:
                case Text(text=text, location=location):
                    found.append(Literal(value=text, location=location))
                case Interpolation(expression=expression):
                    found.append(expression)
                case Directive(word="if"):
                    found.append(self._nested(part))
                case Directive(word="for"):
                    found.append(self._nested(part))
                case Directive():
                    return found, part
        return found, None

    def _nested(self, opening: Directive) -> Expression:
        self._depth += 1
        if self._depth > 100:
            raise BakeSyntaxError("template directives are nested too deeply", location=opening.location)
        assert opening.subject is not None
        location = opening.location
        body, end = self._body()
        other: list[Expression] = []
        if opening.word == "if" and end is not None and end.word == "else":
            other, end = self._body()
        if end is None:
            raise BakeSyntaxError(f"`%{{ {opening.word} }}` is not closed", location=location)
        if end.word != f"end{opening.word}":
            raise BakeSyntaxError(f"`{end.word}` has no place in the template here", location=end.location)
        self._depth -= 1
        if opening.word == "for":
            key, value = opening.names
            return TemplateFor(key=key, value=value, collection=opening.subject, body=_template(body, location),
                               location=location)
        return Conditional(condition=opening.subject, yes=_template(body, location), no=_template(other, location),
                           location=location)


def _template(parts: list[Expression], place: Location) -> Expression:
    if not parts:
        return Literal(value="", location=place)
    if len(parts) == 1 and isinstance(only := parts[0], Literal) and isinstance(only.value, str):
        return Literal(value=only.value, location=place)
    return Template(parts=tuple(parts), location=place)
