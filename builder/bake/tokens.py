"""HCL text to tokens, as HCL's own scanner cuts it.

Text has three kinds of stretches: expressions, quoted strings, and here-documents (or the bare templates of JSON
strings). `${` and `%{` lead from the latter two into expressions, the brace that closes them leads back. A literal is
cut where HCL cuts it, at the end of a line and at a lone `$` or `%`, because strip marks reach as far as one literal.
"""

from __future__ import annotations

import bisect
import re
from typing import NamedTuple

from builder.bake.errors import BakeSyntaxError
from builder.source import Location, Source, Span

NUMBER, NAME, NEWLINE, END = "number", "name", "newline", "end of the file"
QUOTE, END_QUOTE, HEREDOC, END_HEREDOC, LITERAL = "quote", "end of quote", "heredoc", "end of heredoc", "literal"
INTERPOLATION, DIRECTIVE, END_SEQUENCE = "${", "%{", "}~"
"""Kinds of tokens; punctuation is a kind of its own."""

_PLAIN = re.compile(r"""
    (?P<space>[ \t]+)
    |(?P<number>[0-9](?:(?:[0-9.]|[eE][+-]?[0-9])*(?:[0-9]|[eE][+-]?[0-9]))?)
    |(?P<name>[^\W\d][\w-]*)
    |(?P<comment>(?:\#|//)[^\n]*(?P<end>\n?)|/\*(?s:.*?)\*/)
    |(?P<newline>\r?\n)
    |(?P<heredoc><<(?P<flush>-?)(?P<marker>[^\W\d][\w-]*)\r?\n)
    |(?P<mark>~\}|==|!=|>=|<=|&&|\|\||::|\.\.\.|=>|[][().,*/%+\-=<>!?:{}"])""", re.VERBOSE)
_QUOTED = re.compile(r"""
    (?P<escaped>(?:\$\$|%%)\{~?)
    |(?P<open>[$%]\{~?)
    |(?P<quote>")
    |(?P<text>[$%]|(?:\\[^\r\n]|[^"$%\\\r\n])+)""", re.VERBOSE)
_UNQUOTED = re.compile(r"""
    (?P<escaped>(?:\$\$|%%)\{~?\n?)
    |(?P<open>[$%]\{~?)
    |(?P<text>[$%]\n?|[^$%\n]*\n|[^$%\n]+)""", re.VERBOSE)


class Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


class Text:
    """A text and where its characters are in a source; with `fixed` all of them are at that place."""

    def __init__(self, text: str, place: Location, *, fixed: bool) -> None:
        self.text = text
        self._place = place
        self._fixed = fixed
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]

    @classmethod
    def of(cls, source: Source) -> Text:
        return cls(source.text, Location(source, Span(1, 1, 1, 1)), fixed=False)

    def place(self, start: int, end: int) -> Location:
        if self._fixed:
            return self._place
        first = bisect.bisect_right(self._lines, start) - 1
        last = bisect.bisect_right(self._lines, end) - 1
        return Location(self._place.source, Span(first + 1, start - self._lines[first] + 1,
                                                 last + 1, end - self._lines[last] + 1))

    def error(self, sentence: str, start: int, hint: str | None = None) -> BakeSyntaxError:
        return BakeSyntaxError(sentence, location=self.place(start, start + 1), hint=hint)


def scan(text: Text, *, bare: bool = False) -> list[Token]:
    """The tokens, the last of which is END; `bare` text is a template from its beginning. Raises BakeSyntaxError."""
    return _Scanner(text).run(bare)


class _Scanner:
    def __init__(self, text: Text) -> None:
        self._source = text
        self._text = text.text
        self._position = 0
        self._tokens: list[Token] = []
        self._modes: list[tuple[str, str, int]] = []
        """What is open: a template with its marker, or an expression with the braces that are open in it."""
        self._starts_line = True
        """In a here-document."""

    def run(self, bare: bool) -> list[Token]:
        self._modes.append(("bare", "", 0) if bare else ("expression", "", 0))
        while self._position < len(self._text):
            match self._modes[-1]:
                case ("expression", _, braces):
                    self._expression(braces)
                case ("quote", _, _):
                    self._quoted()
                case (_, marker, _):
                    self._unquoted(marker)
        end = len(self._text)
        self._tokens.append(Token(END, "", end, end))
        return self._tokens

    def _add(self, kind: str, text: str) -> None:
        self._tokens.append(Token(kind, text, self._position, self._position + len(text)))
        self._position += len(text)

    def _expression(self, braces: int) -> None:
        match = _PLAIN.match(self._text, self._position)
        if match is None:
            raise self._source.error(f"invalid character `{self._text[self._position]}`", self._position)
        kind, text = match.lastgroup or "", match[0]
        if match["comment"] is not None:
            self._position = match.end() - len(match["end"] or "")
            if match["end"]:
                self._add(NEWLINE, "\n")
        elif match["heredoc"] is not None:
            self._add(HEREDOC, text)
            self._modes.append(("heredoc", match["marker"], 0))
            self._starts_line = True
        elif kind == "space":
            self._position = match.end()
        elif kind != "mark":
            self._add(kind, text)
        elif text == '"':
            self._add(QUOTE, text)
            self._modes.append(("quote", "", 0))
        elif text in ("}", "~}") and not braces and len(self._modes) > 1:
            self._add(END_SEQUENCE, text)
            self._modes.pop()
        else:
            if text in "{}":
                self._modes[-1] = ("expression", "", max(braces + (1 if text == "{" else -1), 0))
            self._add(text, text)

    def _open(self, text: str) -> None:
        self._add(INTERPOLATION if text[0] == "$" else DIRECTIVE, text)
        self._modes.append(("expression", "", 0))
        self._starts_line = False

    def _quoted(self) -> None:
        match = _QUOTED.match(self._text, self._position)
        if match is None:
            raise self._source.error("a quoted string ends with its line", self._position,
                                     "write `\\n`, or a here-document for many lines")
        if match["open"] is not None:
            self._open(match[0])
        elif match["quote"] is not None:
            self._add(END_QUOTE, '"')
            self._modes.pop()
        else:
            self._add(LITERAL, match[0])

    def _unquoted(self, marker: str) -> None:
        match = _UNQUOTED.match(self._text, self._position)
        assert match is not None, "every character is one of these"
        text = match[0]
        if match["open"] is not None:
            self._open(text)
        elif marker and self._starts_line and text.strip() == marker:
            end = text.rstrip("\r\n")
            self._add(END_HEREDOC, end)
            self._modes.pop()
        else:
            self._starts_line = text.endswith("\n")
            self._add(LITERAL, text)
