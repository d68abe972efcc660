"""From physical lines to logical ones: one instruction each, continuations joined, comments dropped.

This is the part of the syntax that no grammar can hold: the escape character is chosen in the file, and the bodies of
here-documents have no syntax at all. The caller says when a body follows.
"""

from __future__ import annotations

from bisect import bisect_right

import msgspec

from builder.errors import DockerfileError
from builder.golang.space import SPACE
from builder.language.directives import read_directives
from builder.language.instructions import EmptyContinuation, Heredoc
from builder.source import Location, Source, Span

_MAX_LINE_BYTES = 65_535


class LineTooLong(DockerfileError):
    code = "line-too-long"

    def __init__(self, location: Location) -> None:
        super().__init__(f"dockerfile line greater than max allowed size of {_MAX_LINE_BYTES}", location=location)


class UnterminatedHeredoc(DockerfileError):
    code = "unterminated-heredoc"

    def __init__(self, name: str, location: Location) -> None:
        super().__init__(f"unterminated heredoc: there is no line `{name}` to end it", location=location)


class LogicalLine(msgspec.Struct, frozen=True):
    """An instruction's text in one piece, and where its pieces came from."""

    source: Source
    text: str
    """Without leading blanks; trailing ones are kept."""
    starts: tuple[int, ...]
    """Offsets in `text` of the pieces, each from one physical line."""
    places: tuple[tuple[int, int], ...]
    """Line and column of each piece's first character."""
    last: int
    """The last physical line."""
    comments: tuple[str, ...]

    def location(self, start: int, end: int) -> Location:
        """The place of `text[start:end]`."""
        line, column = self._place(start)
        end_line, end_column = self._place(max(end - 1, start))
        return Location(self.source, Span(line, column, end_line, end_column + 1))

    def _place(self, offset: int) -> tuple[int, int]:
        piece = bisect_right(self.starts, offset) - 1
        line, column = self.places[piece]
        return line, column + offset - self.starts[piece]


class LineReader:
    """Reads a source once, from top to bottom."""

    def __init__(self, source: Source) -> None:
        self._source = source
        lines = source.text.removeprefix("\ufeff").split("\n")
        if not lines[-1]:
            lines.pop()
        self._lines = lines
        self._bom = len("\ufeff") if source.text.startswith("\ufeff") else 0
        self._index = 0
        """Of the next line; so also the number of the last line read."""
        read = read_directives(source, lines)
        self.directives = read.found
        self.escape = read.escape
        self.errors = list(read.errors)
        self.empty_continuations: list[EmptyContinuation] = []
        self._directive_lines = read.lines

    @property
    def end(self) -> Location:
        """The last line read."""
        return Location(self._source, Span.at_line(max(self._index, 1)))

    @property
    def position(self) -> tuple[int, int]:
        """Number of the last line read, and the column behind its last character."""
        return self._index, len(self._lines[self._index - 1].rstrip("\r")) + 1

    def next(self) -> LogicalLine | None:
        """The next instruction; None at the end. Raises LineTooLong."""
        comments: list[str] = []
        while self._index < len(self._lines):
            raw = self._read()
            line = raw.rstrip("\r\n").lstrip(SPACE)
            if line.startswith("#"):
                if self._index not in self._directive_lines:
                    # BuildKit cuts off the line's first character, which is not the `#` where the comment is indented
                    text = raw[1:].strip(SPACE)
                    if text:
                        comments.append(text)
                    else:
                        comments.clear()
            elif line:
                return self._joined(line, len(raw.rstrip("\r\n")) - len(line) + 1, tuple(comments))
        return None

    def body(self, heredoc: Heredoc, start: Location) -> str:
        """The lines up to the here-document's name, as they are. Raises UnterminatedHeredoc, LineTooLong."""
        body: list[str] = []
        while self._index < len(self._lines):
            raw = self._read()
            line = raw.rstrip("\r")
            if (line.lstrip("\t") if heredoc.chomp else line) == heredoc.name:
                return "".join(body)
            body.append(raw + "\n")
        raise UnterminatedHeredoc(heredoc.name, start)

    def _joined(self, line: str, column: int, comments: tuple[str, ...]) -> LogicalLine:
        first = self._index
        piece, continued = self._without_continuation(line)
        pieces, starts, places = [piece], [0], [(first, column + (self._bom if first == 1 else 0))]
        length = len(piece)
        blank = None
        while continued and self._index < len(self._lines):
            raw = self._read().rstrip("\r")
            stripped = raw.lstrip(SPACE)
            if not stripped:
                blank = blank or self._index
            elif stripped[0] != "#":
                piece, continued = self._without_continuation(raw)
                pieces.append(piece)
                starts.append(length)
                places.append((self._index, 1))
                length += len(piece)
        if blank is not None:
            self.empty_continuations.append(EmptyContinuation(Span(blank, 0, self._index, 0)))
        return LogicalLine(self._source, "".join(pieces), tuple(starts), tuple(places), self._index, comments)

    def _without_continuation(self, line: str) -> tuple[str, bool]:
        """An escape character at the line's end, even with blanks behind it, joins the next line; two do not."""
        stripped = line.rstrip(" \t")
        if stripped.endswith(self.escape) and stripped[-2:-1] != self.escape:
            return stripped[:-1], True
        return line, False

    def _read(self) -> str:
        line = self._lines[self._index]
        self._index += 1
        if len(line) * 4 > _MAX_LINE_BYTES and len(line.encode(errors="surrogateescape")) > _MAX_LINE_BYTES:
            raise LineTooLong(Location(self._source, Span.at_line(self._index)))
        return line
