"""Flag values that are CSV records of `key=value` fields, read with the rules of buildx and BuildKit.

Fields are CSV as Go's encoding/csv reads it, so that a value with commas goes in quotes: `"annotation.a=b,c"`.
"""

from __future__ import annotations

from collections.abc import Callable

from builder.errors import InvalidValue, UsageError
from builder.golang.bool import parse_bool
from builder.golang.csv import CsvError, csv_fields
from builder.golang.numbers import parse_unsigned
from builder.golang.suggest import did_you_mean
from builder.oci import Compression

Refuse = Callable[..., UsageError]
"""Makes the error for a value: (why, hint=None)."""

_LEVELS = {Compression.UNCOMPRESSED: range(0), Compression.GZIP: range(10), Compression.ZSTD: range(23)}


class Attributes:
    """The fields of one value, each taken once; what is left over is unknown."""

    def __init__(self, left: dict[str, str], refuse: Refuse) -> None:
        self.left = left
        self.refuse = refuse
        self._known: list[str] = []

    def take(self, name: str) -> str | None:
        """The attribute's value; None if it was not given."""
        self._known.append(name)
        return self.left.pop(name, None)

    def flag(self, name: str, default: bool) -> bool:
        value = self.take(name)
        return default if value is None else self.as_bool(name, value)

    def as_bool(self, name: str, value: str) -> bool:
        try:
            return value == "" or parse_bool(value)
        except ValueError:
            raise self.refuse(f"{name} is `{value}`, neither true nor false") from None

    def compression(self) -> Compression:
        name = self.take("compression") or "gzip"
        if name == "estargz":
            raise self.refuse("compression estargz is not supported", hint="gzip and zstd are")
        if name not in set(Compression):
            raise self.refuse(f"unknown compression `{name}`", hint=nearest(name, list(Compression)))
        return Compression(name)

    def level(self, compression: Compression) -> int | None:
        """`compression-level`; None for the default."""
        text = self.take("compression-level")
        if text is None:
            return None
        try:
            level = parse_unsigned(text, 10, 32)
        except ValueError:
            level = -1
        if compression is Compression.UNCOMPRESSED and level >= 0:
            return None
        levels = _LEVELS[compression]
        if level not in levels:
            allowed = f"0 to {levels.stop - 1}" if levels else "none"
            raise self.refuse(f"compression-level `{text}` is not one of {compression}'s ({allowed})")
        return level

    def end(self, kind: str) -> None:
        """Refuses what nobody took."""
        if self.left:
            name = next(iter(self.left))
            raise self.refuse(f"`{kind}` has no attribute `{name}`", hint=nearest(name, self._known))


def fields_of(text: str, refuse: Refuse | None = None, *, what: str = "") -> list[str]:
    """The fields of one value. Without `refuse` raises InvalidValue with docker's sentence; `what` opens it."""
    try:
        return csv_fields(text)
    except CsvError as error:
        hint = 'quotes go round a whole field: "key=a,b"'
        if refuse is not None:
            raise refuse(str(error), hint=hint) from None
        raise InvalidValue(f"{what}{error}", notes=(f"in `{text}`",), hint=hint) from None


def nearest(word: str, known: list[str]) -> str | None:
    """A hint for a misspelt word: the closest known one, or all of them."""
    return did_you_mean(word, known) or (f"known are {', '.join(known)}" if known else None)
