"""Flag values that are CSV records of `key=value` fields, read with the rules of buildx and BuildKit.

Fields are CSV as Go's encoding/csv reads it, so that a value with commas goes in quotes: `"annotation.a=b,c"`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from builder.errors import UsageError
from builder.oci import Compression

Refuse = Callable[..., UsageError]
"""Makes the error for a value: (why, hint=None)."""

_LEVELS = {Compression.UNCOMPRESSED: range(0), Compression.GZIP: range(10), Compression.ZSTD: range(23)}
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


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
        if value not in _TRUE | _FALSE | {""}:
            raise self.refuse(f"{name} is `{value}`, neither true nor false")
        return value not in _FALSE

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
        if text is None or (compression is Compression.UNCOMPRESSED and text.isdecimal()):
            return None
        levels = _LEVELS[compression]
        if not text.isdecimal() or int(text) not in levels:
            allowed = f"0 to {levels.stop - 1}" if levels else "none"
            raise self.refuse(f"compression-level `{text}` is not one of {compression}'s ({allowed})")
        return int(text)

    def end(self, kind: str) -> None:
        """Refuses what nobody took."""
        if self.left:
            name = next(iter(self.left))
            raise self.refuse(f"`{kind}` has no attribute `{name}`", hint=nearest(name, self._known))


def csv_fields(text: str, refuse: Refuse) -> list[str]:
    """The fields of one CSV record, quotes as encoding/csv has them."""
    fields: list[str] = []
    rest = text
    while True:
        if rest.startswith('"'):
            match = re.match(r'"((?:[^"]|"")*)"(?=,|$)', rest)
            if match is None:
                raise refuse("a quoted field does not end where it should")
            fields.append(match[1].replace('""', '"'))
            rest = rest[match.end():]
        else:
            field, comma, after = rest.partition(",")
            if '"' in field:
                raise refuse('a `"` inside a field', hint="put the quotes round the whole field: \"key=a,b\"")
            fields.append(field)
            rest = comma + after
        if not rest:
            return fields
        rest = rest[1:]


def nearest(word: str, known: list[str]) -> str | None:
    """A hint for a misspelt word: the closest known one, or all of them."""
    import difflib

    close = difflib.get_close_matches(word, known, 1)
    return f"did you mean `{close[0]}`?" if close else f"known are {', '.join(known)}" if known else None
