"""Go's text/tabwriter, as docker's listings use it."""

from __future__ import annotations

from collections.abc import Sequence


def align(rows: Sequence[Sequence[str]], *, padding: int, least: int = 0, tab: int = 0) -> str:
    """The rows as lines, each cell but a row's last padded to its column.

    A column is as wide as its widest cell and `padding`, at least `least`; with `tab`, it ends at the next multiple of
    that and is filled with tabs. The cells must be printable.
    """
    columns = max((len(row) for row in rows), default=0)
    widths = []
    for at in range(columns - 1):
        widest = max((cell_width(row[at]) for row in rows if at < len(row)), default=0)
        width = max(widest + padding, least)
        widths.append(-(-width // tab) * tab if tab else width)
    lines = []
    for row in rows:
        cells = [cell + _fill(width - cell_width(cell), tab) for cell, width in zip(row[:-1], widths, strict=False)]
        lines.append("".join([*cells, *row[-1:]]) + "\n")
    return "".join(lines)


def _fill(width: int, tab: int) -> str:
    return "\t" * -(-width // tab) if tab else " " * width


def cell_width(text: str) -> int:
    """Columns that printable `text` takes: two for wide characters, none for combining ones."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
