"""Places in a text: what a diagnostic points at.

A span travels beside a value, never inside what is compared or keyed: moving an instruction to another line
changes no cache key.
"""

from __future__ import annotations

import msgspec


class Span(msgspec.Struct, frozen=True):
    """A stretch of a text, lines and columns counted from 1; `end_column` is one past the last character."""

    line: int
    column: int
    end_line: int
    end_column: int

    @classmethod
    def at_line(cls, line: int) -> Span:
        """A span that means the whole line: renderers underline it from its first to its last character."""
        return cls(line, 0, line, 0)


class Source(msgspec.Struct, frozen=True):
    """A named text (`Dockerfile`, `.dockerignore`, an ONBUILD trigger)."""

    name: str
    text: str

    def lines(self, first: int, last: int) -> list[tuple[int, str]]:
        """The numbered lines `first` to `last` that exist, without their line ends."""
        every = self.text.split("\n")
        return [(n, every[n - 1].rstrip("\r")) for n in range(max(first, 1), min(last, len(every)) + 1)]


class Location(msgspec.Struct, frozen=True):
    """A span and the text it is in."""

    source: Source
    span: Span

    def __str__(self) -> str:
        column = f":{self.span.column}" if self.span.column else ""
        return f"{self.source.name}:{self.span.line}{column}"
