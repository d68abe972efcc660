"""Sets. Lists that are given are taken as sets."""

from __future__ import annotations

from collections.abc import Sequence

from builder.bake.functions.function import Function
from builder.bake.types import common_type, convert
from builder.bake.values import SetValue, Value, identities, identity


def _united(sets: Sequence[SetValue]) -> list[SetValue]:
    """All with elements of one type."""
    common = common_type(item for each in sets for item in each)
    return [SetValue.of(convert(item, common) for item in each) for each in sets]


def _union(*sets: SetValue) -> Value:
    return SetValue.of(item for each in _united(sets) for item in each)


def _intersection(*sets: SetValue) -> Value:
    first, *others = _united(sets)
    return SetValue.of(item for item in first if all(identity(item) in known for known in map(identities, others)))


def _difference(left: SetValue, right: SetValue) -> Value:
    first, second = _united((left, right))
    known = identities(second)
    return SetValue.of(item for item in first if identity(item) not in known)


def _symmetric_difference(*sets: SetValue) -> Value:
    result, *others = _united(sets)
    for other in others:
        result = SetValue.of((*_difference(result, other), *_difference(other, result)))
    return result


FUNCTIONS = {
    "sethaselement": Function(lambda items, wanted: identity(wanted) in identities(items), ("set", "any")),
    "setintersection": Function(_intersection, ("set",), "set"),
    "setsubtract": Function(_difference, ("set", "set")),
    "setsymmetricdifference": Function(_symmetric_difference, ("set",), "set"),
    "setunion": Function(_union, ("set",), "set"),
}
