"""--ulimit as a value."""

from __future__ import annotations

import msgspec

from builder.errors import InvalidValue
from builder.golang.numbers import parse_integer

_NAMES = frozenset({"core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss",
                    "rtprio", "rttime", "sigpending", "stack"})


class Ulimit(msgspec.Struct, frozen=True):
    name: str
    soft: int
    hard: int

    @classmethod
    def parse(cls, text: str) -> Ulimit:
        """`name=soft[:hard]`; -1 is no limit. Raises InvalidValue in the words of docker's go-units."""
        name, equals, limits = text.partition("=")
        soft, colon, hard = limits.partition(":")
        if not equals:
            raise InvalidValue(f"invalid ulimit argument: {text}", hint="write it as name=soft[:hard]")
        if name not in _NAMES:
            raise InvalidValue(f"invalid ulimit type: {name}")
        limit = cls(name, _number(soft), _number(hard if colon else soft))
        if limit.hard != -1 and (limit.soft == -1 or limit.soft > limit.hard):
            raise InvalidValue(f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}")
        return limit


def _number(text: str) -> int:
    try:
        return parse_integer(text, 64)
    except ValueError as error:
        why = "value out of range" if "out of range" in str(error) else "invalid syntax"
        raise InvalidValue(f'strconv.ParseInt: parsing "{text}": {why}') from None
