"""The lines of a text that an error points at, in two forms: with carets, and as BuildKit prints them."""

from __future__ import annotations

from builder.golang.tabwriter import cell_width
from builder.source import Location, Span
from builder.ui.text import printable

_TAB = 4
_SHOWN_LINES = 6
_SHOWN_WIDTH = 180


def caret_excerpt(location: Location) -> list[str]:
    """Numbered source lines; carets under a span within one line, `>` beside the lines of a longer one."""
    span = location.span
    lines = location.source.lines(span.line, max(span.line, span.end_line))
    if not lines:
        return []
    gutter = len(str(lines[-1][0]))
    blank = f"{' ' * gutter} |"
    if len(lines) == 1:
        text, carets = _underline(lines[0][1], span)
        return [blank, f"{span.line:>{gutter}} | {text}".rstrip(), f"{blank} {carets}"]
    shown = [blank]
    for number, line in lines:
        skipped = len(lines) - _SHOWN_LINES
        if skipped > 1 and number == span.line + _SHOWN_LINES // 2:
            shown.append(f"{' ' * gutter} ... {skipped} lines")
        if skipped > 1 and _SHOWN_LINES // 2 <= number - span.line < len(lines) - _SHOWN_LINES // 2:
            continue
        shown.append(f"{number:>{gutter}} | > {_visible(line)[:_SHOWN_WIDTH]}".rstrip())
    return shown


def _underline(line: str, span: Span) -> tuple[str, str]:
    """The line as shown, and the carets below it."""
    if span.column:
        first, last = span.column - 1, max(span.end_column - 1, span.column)
    else:
        first, last = len(line) - len(line.lstrip()), max(len(line.rstrip()), 1)
    first = min(first, len(line))
    start = max(0, first - _SHOWN_WIDTH // 3) if len(line) > _SHOWN_WIDTH else 0
    cut = line[start:start + _SHOWN_WIDTH]
    before, marked = cut[:first - start], cut[first - start:last - start]
    lead = "..." if start else ""
    carets = "^" * max(cell_width(_visible(marked)), 1)
    return lead + _visible(cut), " " * (len(lead) + cell_width(_visible(before))) + carets


def _visible(line: str) -> str:
    return printable(line.replace("\t", " " * _TAB))


def docker_excerpt(location: Location, name: str = "") -> list[str]:
    """The excerpt under BuildKit's errors and warnings: some lines around, `>>>` beside those that are meant."""
    lines = location.source.text.split("\n")
    first, last = location.span.line, max(location.span.line, location.span.end_line)
    if not 1 <= first <= len(lines):
        return []
    start, end = first, min(last, len(lines))
    shown, wanted = 0, 4 if start == end else 2
    while shown < wanted:
        if start > 1:
            start, shown = start - 1, shown + 1
        if end < len(lines):
            end, shown = end + 1, shown + 1
        shown += 1
    rule = "-" * 20
    body = []
    for number in range(start, end + 1):
        text = "\t".join(map(printable, lines[number - 1].rstrip("\r").split("\t")))
        body.append(f" {number:3d} | {'>>>' if first <= number <= last else '   '} {text}")
    return [f"{name or location.source.name}:{first}", rule, *body, rule]
