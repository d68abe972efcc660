"""Sets. Lists that are given are taken as sets."""

from __future__ import annotations

from collections.abc import Iterable

from builder.bake.functions import Function
from builder.bake.values import SetValue, Value, equals


def _has(items: Iterable[Value], wanted: Value) -> bool:
    return any(equals(item, wanted) for item in items)


def _union(*sets: tuple[Value, ...]) -> Value:
    return SetValue.of(item for each in sets for item in each)


def _intersection(first: tuple[Value, ...], *others: tuple[Value, ...]) -> Value:
    return SetValue.of(item for item in first if all(_has(other, item) for other in others))


def _difference(left: tuple[Value, ...], right: tuple[Value, ...]) -> Value:
    return SetValue.of(item for item in left if not _has(right, item))


def _symmetric_difference(first: tuple[Value, ...], *others: tuple[Value, ...]) -> Value:
    result: tuple[Value, ...] = first
    for other in others:
        result = _union(_difference(result, other), _difference(other, result))
    return SetValue.of(result)


FUNCTIONS = {
    "sethaselement": Function(lambda items, wanted: _has(items, wanted), ("list", "any")),
    "setintersection": Function(_intersection, ("list",), "list"),
    "setsubtract": Function(_difference, ("list", "list")),
    "setsymmetricdifference": Function(_symmetric_difference, ("list",), "list"),
    "setunion": Function(_union, ("list",), "list"),
}
