"""Parser directives: `# syntax=`, `# escape=` and `# check=` at the very top of a file.

"Parser directives are written as a special type of comment in the form `# directive=value`." Anything else, also an
unknown directive, a blank line or an ordinary comment, ends them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from builder.errors import DockerfileError
from builder.golang.space import SPACE
from builder.language.instructions import Directive
from builder.source import Location, Source, Span

_DIRECTIVE = re.compile(r"([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=[\t\n\f\r ]*(.+?)[\t\n\f\r ]*\Z")
_KNOWN = frozenset({"syntax", "escape", "check"})


class DuplicateDirective(DockerfileError):
    code = "duplicate-directive"

    def __init__(self, key: str, location: Location) -> None:
        super().__init__(f"only one {key} parser directive can be used", location=location)


class InvalidEscape(DockerfileError):
    code = "invalid-escape"

    def __init__(self, value: str, location: Location) -> None:
        super().__init__(f"invalid escape token '{value}' does not match ` or \\", location=location)


class Directives(msgspec.Struct, frozen=True):
    found: tuple[Directive, ...]
    escape: str
    lines: frozenset[int]
    """The lines that are directives, and so no comments of the first instruction."""
    errors: tuple[DockerfileError, ...]


def read_directives(source: Source, lines: Sequence[str]) -> Directives:
    """The directives at the top of `lines`, the file's physical lines without a byte-order mark.

    BuildKit looks twice, and its two ways of looking differ: `escape` may be indented, while `syntax` and `check` may
    not, but may stand under a `#!` line.
    """
    errors: list[DockerfileError] = []
    found: list[Directive] = []
    seen: set[str] = set()
    covered: set[int] = set()
    escape = "\\"
    for directive in _scan(lines, 0, indented=True):
        covered.add(directive.span.line)
        location = Location(source, directive.span)
        if directive.key in seen:
            errors.append(DuplicateDirective(directive.key, location))
        elif directive.key == "escape":
            found.append(directive)
            if directive.value in ("\\", "`"):
                escape = directive.value
            else:
                errors.append(InvalidEscape(directive.value, location))
        seen.add(directive.key)
    below_shebang = 1 if lines and lines[0].startswith("#!") else 0
    found += [d for d in _scan(lines, below_shebang, indented=False) if d.key != "escape"]
    found.sort(key=lambda directive: directive.span.line)
    return Directives(tuple(found), escape, frozenset(covered), tuple(errors))


def _scan(lines: Sequence[str], first: int, *, indented: bool) -> Iterator[Directive]:
    for number, raw in enumerate(lines[first:], first + 1):
        line = raw.rstrip("\r\n")
        start = len(line) - len(line.lstrip(SPACE)) if indented else 0
        if not line.startswith("#", start):
            return
        match = _DIRECTIVE.match(line[start + 1:].lstrip(SPACE))
        if match is None or (key := match[1].lower()) not in _KNOWN:
            return
        yield Directive(key, match[2], Span(number, start + 1, number, len(line) + 1))
