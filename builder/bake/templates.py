"""Templates: text with `${...}` and `%{...}` in it, as quoted strings, here-documents and JSON strings are.

A template of nothing but one interpolation has that expression's value, whatever its type; any other is a string.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from builder.bake.errors import BakeSyntaxError
from builder.bake.syntax import Conditional, Expression, Literal, Template, TemplateFor
from builder.source import Location

ParseExpression: TypeAlias = Callable[[str, Location], Expression]

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_NO_CHARACTER = re.compile("[\ud800-\udfff]")
_OPENING = re.compile(r"\$\$\{|%%\{|\$\{|%\{")
_FOR = re.compile(r"for\s+([A-Za-z_][\w-]*)\s*(?:,\s*([A-Za-z_][\w-]*)\s*)?in\b(.*)", re.DOTALL)


def unescape(text: str) -> str:
    """The backslash escapes of a quoted string replaced."""

    def replace(match: re.Match[str]) -> str:
        if code := match[1] or match[2]:
            return _NO_CHARACTER.sub("\ufffd", chr(int(code, 16))) if int(code, 16) < 0x110000 else "\ufffd"
        return _ESCAPES.get(match[3], match[0])

    return _ESCAPE.sub(replace, text) if "\\" in text else text


def heredoc_text(token: str) -> str:
    """The body of a here-document from its opening mark on; of `<<-` the common indentation is taken away."""
    first, _, rest = token.replace("\r\n", "\n").partition("\n")
    lines = rest.rstrip("\n").split("\n")[:-1] if rest.strip() else []
    if first.startswith("<<-"):
        indents = [len(line) - len(line.lstrip(" \t")) for line in lines if line.strip()]
        cut = min(indents, default=0)
        lines = [line[cut:] if line.strip() else line.lstrip(" \t") for line in lines]
    return "".join(line + "\n" for line in lines)


class _Frame(msgspec.Struct):
    """An open `%{ if }` or `%{ for }`, and the parts of its branch so far."""

    word: str
    names: list[str]
    subject: Expression | None
    parts: list[Expression]
    yes: Expression | None = None


class TemplateReader:
    """Collects a template's parts; `finish` gives the expression. Raises BakeSyntaxError for what does not fit."""

    def __init__(self, place: Location, parse: ParseExpression) -> None:
        self._place = place
        self._parse = parse
        self._frames = [_Frame("", [], None, [])]
        self._strip_next = False
        self._by_line = False
        self._plain = False
        """There was text, or a directive, so that the result is a string in any case."""

    def read(self, text: str) -> Expression:
        """The template that `text` is; its strip marks reach as far as the line, for its lines are parts."""
        self._by_line = True
        position = 0
        while (opening := _OPENING.search(text, position)) is not None:
            self.add_text(text[position:opening.start()])
            if len(opening[0]) == 3:
                self.add_text(opening[0][1:])
                position = opening.end()
                continue
            end = _closing_brace(text, opening.end())
            if end < 0:
                raise BakeSyntaxError(f"`{opening[0]}` without its closing brace", location=self._place)
            inner = text[opening.end():end]
            strips = (inner.startswith("~"), inner.endswith("~"))
            inner = inner[strips[0]:len(inner) - strips[1]]
            if opening[0] == "${":
                self.add(self._parse(inner, self._place), strips)
            else:
                self._read_directive(inner.strip(), strips)
            position = end + 1
        self.add_text(text[position:])
        return self.finish()

    def add_text(self, text: str) -> None:
        if self._strip_next and text:
            first, end, rest = text.partition("\n") if self._by_line else (text, "", "")
            text = (first + end).lstrip() + rest
            self._strip_next = False
        if text:
            self._plain = True
            self._frames[-1].parts.append(Literal(value=text, location=self._place))

    def add(self, expression: Expression, strips: tuple[bool, bool] = (False, False)) -> None:
        self._strip(strips)
        self._frames[-1].parts.append(expression)

    def add_directive(self, word: str, names: list[str], subject: Expression | None,
                      strips: tuple[bool, bool]) -> None:
        """`%{ if subject }`, `%{ for names in subject }`, and the words that end them."""
        self._plain = True
        self._strip(strips)
        top = self._frames[-1]
        if word in ("if", "for"):
            self._frames.append(_Frame(word, names, subject, []))
        elif word == "else" and top.word == "if" and top.yes is None:
            top.yes, top.parts = self._joined(top.parts), []
        elif word == f"end{top.word}" and top.word:
            self._frames.pop()
            self._frames[-1].parts.append(self._closed(top))
        else:
            raise BakeSyntaxError(f"`{word}` has no place in the template here", location=self._place)

    def finish(self) -> Expression:
        if len(self._frames) > 1:
            raise BakeSyntaxError(f"`%{{ {self._frames[-1].word} }}` is not closed", location=self._place)
        parts = self._frames[0].parts
        if len(parts) == 1 and not self._plain:
            return parts[0]
        return self._joined(parts)

    def _closed(self, frame: _Frame) -> Expression:
        body = self._joined(frame.parts)
        assert frame.subject is not None
        if frame.word == "for":
            return TemplateFor(key=frame.names[0] if len(frame.names) > 1 else "", value=frame.names[-1],
                               collection=frame.subject, body=body, location=self._place)
        nothing = Literal(value="", location=self._place)
        yes, no = (body, nothing) if frame.yes is None else (frame.yes, body)
        return Conditional(condition=frame.subject, yes=yes, no=no, location=self._place)

    def _joined(self, parts: list[Expression]) -> Expression:
        if all(isinstance(part, Literal) and isinstance(part.value, str) for part in parts):
            text = "".join(part.value for part in parts if isinstance(part, Literal) and isinstance(part.value, str))
            return Literal(value=text, location=self._place)
        return Template(parts=tuple(parts), location=self._place)

    def _strip(self, strips: tuple[bool, bool]) -> None:
        parts = self._frames[-1].parts
        if strips[0] and parts and isinstance(last := parts[-1], Literal) and isinstance(last.value, str):
            before, end, line = "", "", last.value
            if self._by_line:
                before, end, line = line.removesuffix("\n").rpartition("\n")
            parts[-1] = Literal(value=before + end + line.rstrip(), location=self._place)
        self._strip_next = strips[1]

    def _read_directive(self, text: str, strips: tuple[bool, bool]) -> None:
        word, _, rest = text.partition(" ")
        if word == "for":
            match = _FOR.fullmatch(text)
            if match is None:
                raise BakeSyntaxError(f"invalid template directive `{text}`", location=self._place)
            names = [name for name in (match[1], match[2]) if name]
            self.add_directive("for", names, self._parse(match[3], self._place), strips)
        else:
            self.add_directive(word, [], self._parse(rest, self._place) if word == "if" else None, strips)


def _closing_brace(text: str, start: int) -> int:
    """Where the brace that was opened before `start` is closed; quoted strings in between are skipped. -1 if not."""
    depth, position = 1, start
    while position < len(text):
        character = text[position]
        if character == '"':
            position = _end_of_string(text, position + 1)
            if position < 0:
                return -1
        elif character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return position
        position += 1
    return -1


def _end_of_string(text: str, start: int) -> int:
    position = start
    while position < len(text):
        if text[position] == "\\":
            position += 1
        elif text.startswith(("${", "%{"), position) and text[position - 1] != text[position]:
            position = _closing_brace(text, position + 2)
            if position < 0:
                return -1
        elif text[position] == '"':
            return position
        position += 1
    return -1
