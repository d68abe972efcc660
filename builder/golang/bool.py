"""strconv.ParseBool."""

from __future__ import annotations


def parse_bool(text: str) -> bool:
    """strconv.ParseBool. Raises ValueError."""
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    from builder.golang.quote import quote

    raise ValueError(f"strconv.ParseBool: parsing {quote(text)}: invalid syntax")
