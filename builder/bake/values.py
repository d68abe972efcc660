"""Values of expressions: what HCL computes with, as Python values.

null is None; a number is an int, or a Decimal where it has a fraction; lists and tuples are tuples; maps and objects
are dicts, always walked in the order of their keys; a set is a SetValue. Python's True equals 1, so values are
compared with `equals` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Context, Decimal
from typing import Any, TypeAlias

from builder.bake.errors import ExpressionError

Value: TypeAlias = Any
"""None | bool | int | Decimal | str | tuple[Value, ...] | SetValue | dict[str, Value]"""

ARITHMETIC = Context(prec=155)
"""As precise as the 512 bits that HCL computes with."""

_MAX_DIGITS = 4000
"""Before and behind the point; Python reads and writes whole numbers of a little more."""


class SetValue(tuple[Value, ...]):
    """Elements without repetition, in HCL's order of sets: strings by their bytes, numbers by size."""

    __slots__ = ()

    @classmethod
    def of(cls, items: Iterable[Value]) -> SetValue:
        unique: list[Value] = []
        seen: set[str] = set()
        for item in items:
            if (identity := _identity(item)) not in seen:
                seen.add(identity)
                unique.append(item)
        return cls(sorted(unique, key=_order))


def _identity(value: Value) -> str:
    return f"{kind_of(value)} {value!r}"


def _order(value: Value) -> tuple[str, bool, Any]:
    if isinstance(value, str):
        return "string", False, value.encode()
    if is_number(value):
        return "number", False, value
    return "~", value is True, _identity(value)


def kind_of(value: Value) -> str:
    """The value's type in HCL's words: string, number, bool, tuple, set of..., object, null."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | Decimal):
        return "number"
    if isinstance(value, SetValue):
        return "set"
    return "object" if isinstance(value, dict) else "tuple"


def is_number(value: Value) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def is_primitive(value: Value) -> bool:
    return isinstance(value, str | int | Decimal)


def normal(value: int | Decimal) -> int | Decimal:
    """A number in its one form. Raises ExpressionError for one that would take too many digits to write down."""
    number = Decimal(value)
    if number and abs(number.adjusted()) >= _MAX_DIGITS:
        raise ExpressionError(f"numbers of more than {_MAX_DIGITS} digits are not supported")
    return int(value) if number == number.to_integral_value() else value


def number_literal(text: str) -> int | Decimal:
    """The number that a file writes as `text`. Raises ExpressionError."""
    try:
        return normal(Decimal(text))
    except ArithmeticError:
        raise ExpressionError(f"a number is required, not `{text}`") from None


def equals(left: Value, right: Value) -> bool:
    """HCL's ==: values of different types are different."""
    if kind_of(left) != kind_of(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equals(value, right[key]) for key, value in left.items())
    if isinstance(left, tuple):
        return len(left) == len(right) and all(equals(a, b) for a, b in zip(left, right, strict=True))
    return bool(left == right)


def elements(value: Value) -> Iterator[tuple[Value, Value]]:
    """Key and value of every element, as `for` sees them. Raises ExpressionError for what has no elements."""
    if isinstance(value, dict):
        return iter(sorted(value.items()))
    if isinstance(value, SetValue):
        return ((item, item) for item in value)
    if isinstance(value, tuple):
        return enumerate(value)
    raise ExpressionError(f"a {kind_of(value)} has no elements to iterate over")


def text_of(value: Value) -> str:
    """A primitive as a string. Raises ExpressionError for null and collections."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal):
        return format(value.normalize(ARITHMETIC), "f")
    raise ExpressionError(f"string required, but this is {_article(kind_of(value))}")


def number_of(value: Value) -> int | Decimal:
    """Raises ExpressionError for what is no number and does not read as one."""
    if is_number(value):
        return value  # type: ignore[no-any-return]  # checked by is_number
    if isinstance(value, str):
        try:
            number = Decimal(value)
        except ArithmeticError:
            raise ExpressionError(f"a number is required, not `{value}`") from None
        if number.is_finite() and value.strip() == value and "_" not in value:
            return normal(number)
    raise ExpressionError(f"a number is required, but this is {_article(kind_of(value))}")


def bool_of(value: Value) -> bool:
    """Raises ExpressionError for what is neither a bool nor one of `true`, `false`, `1`, `0`."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in ("true", "1", "false", "0"):
        return value in ("true", "1")
    raise ExpressionError(f"a bool is required, but this is {_article(kind_of(value))}")


def _article(kind: str) -> str:
    return kind if kind == "null" else f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def to_json(value: Value) -> str:
    """Compact JSON as Go writes it: keys sorted; `<`, `>` and `&` escaped."""
    import json

    return go_escape(json.dumps(_plain(value), separators=(",", ":"), sort_keys=True, ensure_ascii=False))


def go_escape(text: str) -> str:
    """What Go's encoder does to a JSON text for the sake of browsers."""
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _plain(value: Value) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Decimal):
        return _Number(value)
    return value


class _Number(float):
    """A Decimal that JSON writes with all of its digits."""

    def __new__(cls, value: Decimal) -> _Number:
        number = super().__new__(cls, value)
        number.text = text_of(value)
        return number

    text: str

    def __repr__(self) -> str:
        return self.text


def from_json(data: Any) -> Value:
    """A value of what a JSON decoder gave (numbers with a fraction as Decimal)."""
    if isinstance(data, dict):
        return {key: from_json(item) for key, item in data.items()}
    if isinstance(data, list):
        return tuple(from_json(item) for item in data)
    return normal(data) if isinstance(data, Decimal) else data


def parse_json(text: str) -> Any:
    """A JSON text decoded, numbers exact. Raises ValueError."""
    import json

    return json.loads(text, parse_float=Decimal)
