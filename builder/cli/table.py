"""Rows of a listing in docker's forms: an aligned table, `--format` templates, `table` templates, JSON lines."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping, Sequence

import msgspec

from builder.cli.flags import Flag
from builder.ui.text import cell_width, printable
from builder.ui.units import human_duration

FORMAT_FLAG = Flag("format", 'How to print: "table", "table TEMPLATE", "json" or a Go template')
_PADDING = 3
_LEAST_WIDTH = 10


def render_rows(rows: Sequence[Mapping[str, str]], headers: Mapping[str, str], columns: Sequence[str],
                form: str) -> str:
    """The listing as text. `headers` has the heading of every field that a template may use. Raises TemplateError."""
    if form == "json":
        return "".join(msgspec.json.encode(dict(row), order="sorted").decode() + "\n" for row in rows)
    if form in ("", "table"):
        return align([[headers[name] for name in columns], *([row[name] for name in columns] for row in rows)])
    from builder.cli.gotemplate import render

    template = form.removeprefix("table ").replace("\\t", "\t").replace("\\n", "\n")
    lines = [render(template, dict(row)) for row in rows]
    if not form.startswith("table "):
        return "".join(line + "\n" for line in lines)
    return align([line.split("\t") for line in (render(template, dict(headers)), *lines)])


def align(table: Sequence[Sequence[str]]) -> str:
    """Cells in columns as wide as their widest cell; the last column is not padded."""
    clean = [[printable(cell) for cell in line] for line in table]
    count = max((len(line) for line in clean), default=0)
    widths = [max(max(cell_width(line[at]) for line in clean if at < len(line)) + _PADDING, _LEAST_WIDTH)
              for at in range(count)]
    text = ""
    for line in clean:
        cells = [cell + " " * (widths[at] - cell_width(cell)) for at, cell in enumerate(line[:-1])]
        text += "".join(cells) + (line[-1] if line else "") + "\n"
    return text


def ago(moment: float) -> str:
    """`3 hours ago`; `N/A` for 0, which stands for unknown."""
    return f"{human_duration(max(time.time() - moment, 0))} ago" if moment else "N/A"


def utc(moment: float, *, rfc3339: bool = False) -> str:
    """As docker's CreatedAt columns have it."""
    if not moment:
        return "N/A"
    stamp = datetime.datetime.fromtimestamp(moment, datetime.UTC)
    return stamp.strftime("%Y-%m-%dT%H:%M:%SZ" if rfc3339 else "%Y-%m-%d %H:%M:%S +0000 UTC")


def short_id(digest: str) -> str:
    return digest.rpartition(":")[2][:12]
