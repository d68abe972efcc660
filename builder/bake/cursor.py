"""A place in a row of tokens, and the ways to go on from there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from builder.bake import tokens as t
from builder.bake.errors import BakeSyntaxError
from builder.source import Location


class Cursor:
    def __init__(self, text: t.Text, tokens: list[t.Token], *, newlines: bool) -> None:
        self._text = text
        self._tokens = tokens
        self._next = 0
        self._newlines = newlines
        """Whether the end of a line counts here."""

    def _peek(self) -> t.Token:
        while self._tokens[self._next].kind == t.NEWLINE and not self._newlines:
            self._next += 1
        return self._tokens[self._next]

    def _read(self) -> t.Token:
        token = self._peek()
        if token.kind != t.END:
            self._next += 1
        return token

    def _take(self, *kinds: str) -> t.Token:
        """The next token, which has to be one of `kinds`."""
        token = self._read()
        if token.kind not in kinds:
            raise self._unexpected(token)
        return token

    def _skip(self, kind: str, text: str = "") -> bool:
        token = self._peek()
        found = token.kind == kind and (not text or token.text == text)
        self._next += found
        return found

    @contextmanager
    def _with_newlines(self, count: bool) -> Iterator[None]:
        outer, self._newlines = self._newlines, count
        try:
            yield
        finally:
            self._newlines = outer

    def _unexpected(self, token: t.Token) -> BakeSyntaxError:
        match token.kind:
            case t.END:
                sentence = "unexpected end of the file: a bracket, brace or quote is not closed"
            case t.NEWLINE:
                sentence = "unexpected end of the line"
            case _:
                sentence = f"unexpected `{token.text.strip() or token.text}`"
        return self._text.error(sentence, token.start)

    def _place(self, start: t.Token) -> Location:
        """From `start` to what was read last."""
        return self._text.place(start.start, max(self._tokens[self._next - 1].end, start.end))
