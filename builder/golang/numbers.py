"""strconv.ParseUint and ParseInt; Python's `int` also takes underscores, blanks and other digits."""

from __future__ import annotations

_LONGEST = 64


def parse_unsigned(text: str, base: int, bits: int) -> int:
    """strconv.ParseUint with an explicit base up to 10: digits only. Raises ValueError."""
    if not text or not all("0" <= c < chr(ord("0") + base) for c in text):
        raise ValueError(f"not a number: `{text}`")
    if len(text) > _LONGEST or (value := int(text, base)) >= 1 << bits:
        raise ValueError(f"value out of range: `{text}`")
    return value


def parse_integer(text: str, bits: int) -> int:
    """strconv.ParseInt in base 10. Raises ValueError."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    value = parse_unsigned(digits, 10, bits)
    value = -value if text.startswith("-") else value
    if not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
        raise ValueError(f"value out of range: `{text}`")
    return value
