"""Values of expressions: what HCL computes with, as Python values.

null is None; a number is an int, or a Real where it has a fraction; lists and tuples are tuples; maps and objects
are dicts, always walked in the order of their keys; a set is a SetValue. Python's True equals 1, so values are
compared with `equals` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from builder.bake.errors import ExpressionError
from builder.bake.real import Number, Real, parse, text_of_number

Value: TypeAlias = Any
"""None | bool | int | Real | str | tuple[Value, ...] | SetValue | dict[str, Value]"""

class SetValue(tuple[Value, ...]):
    """Elements without repetition, in HCL's order of sets: strings by their bytes, numbers by size."""

    __slots__ = ()

    @classmethod
    def of(cls, items: Iterable[Value]) -> SetValue:
        unique: list[Value] = []
        seen: set[str] = set()
        for item in items:
            if (name := identity(item)) not in seen:
                seen.add(name)
                unique.append(item)
        return cls(sorted(unique, key=_order))


def identity(value: Value) -> str:
    """A text that equal values have in common, and only they."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key!r}:{identity(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, tuple):
        return f"{kind_of(value)}[{','.join(map(identity, value))}]"
    if is_number(value):
        return f"{value.numerator}/{value.denominator}"
    return repr(value)


def identities(items: Iterable[Value]) -> set[str]:
    return set(map(identity, items))


def _order(value: Value) -> tuple[str, bool, Any]:
    if isinstance(value, str):
        return "string", False, value.encode()
    if is_number(value):
        return "number", False, value
    return "~", value is True, identity(value)


def kind_of(value: Value) -> str:
    """The value's type in HCL's words: string, number, bool, tuple, set of..., object, null."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | Real):
        return "number"
    if isinstance(value, SetValue):
        return "set"
    return "object" if isinstance(value, dict) else "tuple"


def is_number(value: Value) -> bool:
    return isinstance(value, int | Real) and not isinstance(value, bool)


def is_primitive(value: Value) -> bool:
    return isinstance(value, str | int | Real)


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
    if isinstance(value, int | Real):
        return text_of_number(value)
    raise ExpressionError(f"string required, but this is {_article(kind_of(value))}")


def number_of(value: Value) -> Number:
    """Raises ExpressionError for what is no number and does not read as one."""
    if is_number(value):
        return value  # type: ignore[no-any-return]  # checked by is_number
    if isinstance(value, str):
        return parse(value)
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
    from json.encoder import encode_basestring

    parts: list[str] = []

    def write(value: Value) -> None:
        if isinstance(value, dict):
            for at, (key, item) in enumerate(sorted(value.items())):
                parts.append(("," if at else "{") + encode_basestring(key) + ":")
                write(item)
            parts.append("}" if value else "{}")
        elif isinstance(value, tuple):
            for at, item in enumerate(value):
                parts.append("," if at else "[")
                write(item)
            parts.append("]" if value else "[]")
        elif isinstance(value, str):
            parts.append(encode_basestring(value))
        else:
            parts.append("null" if value is None else text_of(value))

    write(value)
    return go_escape("".join(parts))


def go_escape(text: str) -> str:
    """What Go's encoder does to a JSON text for the sake of browsers."""
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def from_json(data: Any) -> Value:
    """A value of what `parse_json` gave."""
    if isinstance(data, dict):
        return {key: from_json(item) for key, item in data.items()}
    return tuple(from_json(item) for item in data) if isinstance(data, list) else data


def parse_json(text: str) -> Any:
    """A JSON text decoded, numbers exact. Raises ValueError, ExpressionError for numbers out of range."""
    import json

    return json.loads(text, parse_float=parse, parse_int=parse)
