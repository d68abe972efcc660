"""Sizes as docker's flags take and show them (docker/go-units): powers of 1024 whatever the unit is called.

`--shm-size`, `--memory`, the limits of `prune` and `RUN --mount=type=tmpfs,size=` are all RAMInBytes; no flag that
builder has takes FromHumanSize, whose units are powers of 1000.
"""

from __future__ import annotations

import re

_DIGITS = "[0-9](?:_?[0-9])*"
_NUMBER = rf"(?ai)[+-]?(?:{_DIGITS}\.?(?:{_DIGITS})?|\.{_DIGITS})(?:e[+-]?{_DIGITS})?"
_HEXADECIMAL = r"(?ai)[+-]?0x(?:[0-9a-f]+\.?[0-9a-f]*|\.[0-9a-f]+)p[+-]?[0-9]+"
_POWERS = {letter: index + 1 for index, letter in enumerate("kmgtp")}
_NAMES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")
_MAX_INT64 = (1 << 63) - 1


def parse_size(text: str) -> int:
    """units.RAMInBytes: `64m`, `1.5GiB`, `1e9`, `32 kB`. Raises ValueError with its sentence."""
    end = max(map(text.rfind, "01234567890. "))
    number, suffix = (text[:end], text[end + 1:]) if text[end:end + 1] == " " else (text[:end + 1], text[end + 1:])
    size = _number(number) if end >= 0 else -1
    if size is None:
        from builder.golang.quote import quote

        raise ValueError(f"strconv.ParseFloat: parsing {quote(number)}: invalid syntax")
    if size < 0:
        raise ValueError(f"invalid size: '{text}'")
    power = _power(suffix.lower())
    if power is None:
        raise ValueError(f"invalid suffix: '{suffix.lower()}'")
    size *= 1024 ** power
    if size > _MAX_INT64:
        raise ValueError(f"size out of range: '{text}'")
    return int(size)


def bytes_size(size: float) -> str:
    """units.BytesSize: `size` in the largest unit that leaves a number below 1024, of at most four digits."""
    unit = 0
    while size >= 1024 and unit < len(_NAMES) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.4g}{_NAMES[unit]}"


def _number(text: str) -> float | None:
    """strconv.ParseFloat, infinite out of its range; None for what is no number."""
    if len(text) > 64:
        return None
    try:
        if re.fullmatch(_HEXADECIMAL, text):
            return float.fromhex(text)
    except OverflowError:
        return float("inf")
    return float(text) if re.fullmatch(_NUMBER, text) else None


def _power(suffix: str) -> int | None:
    if suffix in ("", "b"):
        return 0
    return _POWERS.get(suffix[0]) if suffix[1:] in ("", "b", "ib") else None
