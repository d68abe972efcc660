"""Rows of a listing in docker's forms: an aligned table, `--format` templates, `table` templates, JSON lines."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from builder.cli.pflag import Flag
from builder.cli.value_types import choice
from builder.errors import UsageError
from builder.ui.text import printable
from builder.ui.units import human_duration

FORMAT_FLAG = Flag("format", 'How to print: "table", "table TEMPLATE", "json" or a Go template',
                   type=choice("table", "json"))


class BadTemplate(UsageError):
    """A template that does not parse, or does not fit its value."""

    code = "template"


def render_rows(rows: Sequence[Mapping[str, str]], headers: Mapping[str, str], columns: Sequence[str],
                form: str) -> str:
    """The listing as text. `headers` has the heading of every field that a template may use. Raises BadTemplate."""
    if form == "json":
        return "".join(msgspec.json.encode(dict(row), order="sorted").decode() + "\n" for row in rows)
    if form in ("", "table"):
        return align([[headers[name] for name in columns], *([row[name] for name in columns] for row in rows)])
    template = form.removeprefix("table ").replace("\\t", "\t").replace("\\n", "\n")
    lines = [render_template(template, dict(row)) for row in rows]
    if not form.startswith("table "):
        return "".join(line + "\n" for line in lines)
    return align([line.split("\t") for line in (render_template(template, dict(headers)), *lines)])


def render_template(template: str, value: Any) -> str:
    """Raises BadTemplate."""
    from builder.golang.template import TemplateError, render

    try:
        return render(template, value)
    except TemplateError as error:
        raise BadTemplate(f"template parsing error: template: {error}") from None


def align(table: Sequence[Sequence[str]]) -> str:
    """As docker's listings are aligned."""
    from builder.golang import tabwriter

    return tabwriter.align([[printable(cell) for cell in line] for line in table], padding=3, least=10)


def ago(moment: float) -> str:
    """`3 hours ago`; `N/A` for 0, which stands for unknown."""
    return f"{human_duration(max(time.time() - moment, 0))} ago" if moment else "N/A"


def utc(moment: float) -> str:
    """As docker's CreatedAt columns have it."""
    if not moment:
        return "N/A"
    return time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime(moment))


def short_id(digest: str) -> str:
    return digest.rpartition(":")[2][:12]
