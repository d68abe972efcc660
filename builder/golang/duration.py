"""time.ParseDuration."""

from __future__ import annotations

import re

from builder.golang.quote import quote

_UNIT_NANOSECONDS = {"ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000, "s": 1_000_000_000,
                     "m": 60_000_000_000, "h": 3_600_000_000_000}
_DURATION = r"(?ai)(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)[a-zµμ]+)+"
_DURATION_PART = r"(?ai)([0-9]*)\.?([0-9]*)([a-zµμ]+)"
_MAX_INT64 = (1 << 63) - 1


def parse_duration(text: str) -> int:
    """time.ParseDuration, in nanoseconds: `1m30s`, `-1.5h`, `0`. Raises ValueError with Go's sentence."""
    unsigned = text[1:] if text[:1] in ("+", "-") else text
    if unsigned == "0":
        return 0
    if not re.fullmatch(_DURATION, unsigned):
        missing = unsigned and all(c.isascii() and (c.isdigit() or c == ".") for c in unsigned) and unsigned != "."
        raise ValueError(f"time: {'missing unit in' if missing else 'invalid'} duration {quote(text)}")
    total = 0
    for whole, fraction, unit in re.findall(_DURATION_PART, unsigned):
        if unit not in _UNIT_NANOSECONDS:
            raise ValueError(f"time: unknown unit {quote(unit)} in duration {quote(text)}")
        if len(whole) > 20:
            raise ValueError(f"time: invalid duration {quote(text)}")
        scale = _UNIT_NANOSECONDS[unit]
        total += int(whole or "0") * scale
        digits = fraction[:19] if int(fraction[:19] or "0") <= _MAX_INT64 else fraction[:18]
        total += int(float(digits or "0") * (scale / 10 ** len(digits)))  # in floating point, as Go does
    if total > _MAX_INT64:
        raise ValueError(f"time: invalid duration {quote(text)}")
    return -total if text.startswith("-") else total
