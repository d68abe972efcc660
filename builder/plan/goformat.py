"""Go's fmt verbs, as far as BuildKit's history entries show them (`created_by` is part of the image)."""

from __future__ import annotations

from collections.abc import Iterable

from builder.golang.quote import quote
from builder.oci import Healthcheck


def quoted_list(items: Iterable[str]) -> str:
    """`%q` of a slice."""
    return "[" + " ".join(quote(item) for item in items) + "]"


def plain_list(items: Iterable[str]) -> str:
    """`%v` of a slice."""
    return "[" + " ".join(items) + "]"


def duration(nanoseconds: int) -> str:
    """time.Duration's String: `1m30s`, `500ms`, `0s`."""
    if nanoseconds == 0:
        return "0s"
    sign = "-" if nanoseconds < 0 else ""
    rest = abs(nanoseconds)
    for unit, name in ((1_000, "ns"), (1_000_000, "µs"), (1_000_000_000, "ms")):
        if rest < unit:
            return f"{sign}{_decimal(rest, unit // 1000)}{name}"
    hours, rest = divmod(rest, 3_600_000_000_000)
    minutes, rest = divmod(rest, 60_000_000_000)
    text = f"{_decimal(rest, 1_000_000_000)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{sign}{hours}h{text}" if hours else sign + text


def healthcheck(check: Healthcheck) -> str:
    """`%+v` of the healthcheck struct."""
    return (f"{{Test:{plain_list(check.test)} Interval:{duration(check.interval)} Timeout:{duration(check.timeout)} "
            f"StartPeriod:{duration(check.start_period)} StartInterval:{duration(check.start_interval)} "
            f"Retries:{check.retries}}}")


def _decimal(value: int, unit: int) -> str:
    whole, part = divmod(value, unit)
    digits = f"{part:0{len(str(unit)) - 1}d}".rstrip("0") if part else ""
    return f"{whole}.{digits}" if digits else str(whole)
