"""`builder build --dry-run`: what a build would do, as a table or as JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from builder.cli.command import Invocation
from builder.cli.table import align
from builder.errors import InvalidValue
from builder.ui.text import printable
from builder.ui.units import human_size

if TYPE_CHECKING:
    from builder.api import BuildOptions
    from builder.inspection.forecast import Forecast, Prediction

WOULD_RUN = 1
"""The exit status with --exit-code when something would run, be fetched, or may be."""


def dry_run(invocation: Invocation, options: BuildOptions) -> int:
    form = invocation.flags.text("dry-run")
    if form not in ("true", "table", "json"):
        raise InvalidValue(f"`{form}` of --dry-run", hint="use table or json")
    if options.cache_from:
        print("note: --dry-run asks the state folder alone; a build may find more with --cache-from", file=sys.stderr)
    with invocation.open() as builder:
        forecasts = builder.inspector.forecast(options)
    for forecast in forecasts:
        print(as_json(forecast) if form == "json" else report(forecast), end="")
    if invocation.flags.on("exit-code") and any(one.fate != "hit" for forecast in forecasts
                                                for one in forecast.instructions):
        return WOULD_RUN
    return 0


def report(forecast: Forecast) -> str:
    """A line a step, and the sum."""
    rows = [["STEP", "FORECAST", "TIME", "WHAT", "WHY"]]
    rows += [[f"#{one.vertex}", one.fate.value, _time(one), _short(one.name), _why(one)]
             for one in forecast.instructions]
    return align(rows) + "\n" + "".join(f"{line}\n" for line in _sums(forecast.instructions))


def as_json(forecast: Forecast) -> str:
    """One JSON object a step and line."""
    platform = str(forecast.plan.platform)
    return "".join(msgspec.json.encode({**msgspec.to_builtins(one), "platform": platform}).decode() + "\n"
                   for one in forecast.instructions)


def _sums(steps: Sequence[Prediction]) -> list[str]:
    counts = {fate: sum(one.fate == fate for one in steps) for fate in ("hit", "miss", "fetch", "unknown")}
    parts = [f"{counts['hit']} of {len(steps)} from the cache"]
    parts += [f"{counts[fate]} {words}" for fate, words in (
        ("miss", "would run"), ("fetch", "would be fetched"), ("unknown", "may run")) if counts[fate]]
    sure = sum(one.expected for one in steps if one.runs)
    maybe = sum(one.expected for one in steps if one.fate == "unknown")
    size = sum(one.bytes for one in steps)
    lines = [", ".join(parts)]
    if sure or maybe:
        lines.append(f"by earlier times {sure:.1f}s" + (f", up to {sure + maybe:.1f}s" if maybe else "")
                     + " of work; steps that never ran are not counted")
    if size:
        lines.append(f"{human_size(size, 3)} to fetch")
    return lines


def _time(one: Prediction) -> str:
    if one.fate == "hit":
        return ""
    return "?" if one.took is None else f"{one.took:.1f}s"


def _why(one: Prediction) -> str:
    size = f" ({human_size(one.bytes, 3)})" if one.bytes else ""
    return printable(one.why) + size


def _short(name: str) -> str:
    name = printable(" ".join(name.split()))
    return name if len(name) <= 50 else name[:49] + "…"
