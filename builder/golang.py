"""Go's rules for text, where the behaviour of Dockerfiles rests on them: white space, quoting, numbers, durations.

Python's own rules differ in corners (`str.isspace` knows more characters, `int` takes underscores).
"""

from __future__ import annotations

import re

SPACE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
"""unicode.IsSpace; for `strip` and inside a character class."""

BLANK = "\t\v\f\r "
"""What separates a keyword from its arguments, and plain arguments from each other."""

_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
            '"': '\\"', "\\": "\\\\"}
_UNIT_NANOSECONDS = {"ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000, "s": 1_000_000_000,
                     "m": 60_000_000_000, "h": 3_600_000_000_000}
_DURATION = r"(?ai)(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)[a-zµμ]+)+"
_DURATION_PART = r"(?ai)([0-9]*)\.?([0-9]*)([a-zµμ]+)"
_SIZE = r"(?ai)((?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?) ?(?:([kmgtp])i?b?|b)?"
_SIZE_SHIFT = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50}
_MAX_INT64 = (1 << 63) - 1


def quote(text: str) -> str:
    """`text` as `%q` prints it."""
    return '"' + "".join(_ESCAPES.get(c) or (c if c.isprintable() else _numeric_escape(c)) for c in text) + '"'


def _numeric_escape(char: str) -> str:
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def parse_bool(text: str) -> bool:
    """strconv.ParseBool. Raises ValueError."""
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise ValueError(f"strconv.ParseBool: parsing {quote(text)}: invalid syntax")


def parse_unsigned(text: str, base: int, bits: int) -> int:
    """strconv.ParseUint with an explicit base up to 10: digits only. Raises ValueError."""
    if not text or not all("0" <= c < chr(ord("0") + base) for c in text) or len(text) > 64:
        raise ValueError(f"not a number: `{text}`")
    value = int(text, base)
    if value >= 1 << bits:
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


def parse_size(text: str) -> int:
    """units.RAMInBytes: `64m`, `1.5GiB`; units are powers of 1024. Raises ValueError."""
    match = re.fullmatch(_SIZE, text)
    if match is None or len(text) > 64:
        raise ValueError(f"invalid size: `{text}`")
    size = float(match[1]) * (1 << _SIZE_SHIFT[(match[2] or "").lower()])
    if size > _MAX_INT64:
        raise ValueError(f"size out of range: `{text}`")
    return int(size)
