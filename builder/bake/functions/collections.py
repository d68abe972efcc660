"""Lists and maps, and what lets an expression fail without failing the whole."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

from builder.bake.errors import ExpressionError
from builder.bake.evaluator import element, operate
from builder.bake.functions.function import Function
from builder.bake.real import Counted
from builder.bake.types import ANY, STRING, ListValue, Type, common_type, convert
from builder.bake.values import SetValue, Value, elements, equals, identity

_MAX_RANGE = 1024


def _has(items: Iterable[Value], wanted: Value) -> bool:
    return any(equals(item, wanted) for item in items)


def _distinct(items: tuple[Value, ...]) -> Value:
    found: dict[str, Value] = {}
    for item in items:
        found.setdefault(identity(item), item)
    return tuple(found.values())


def _coalesce(*values: Value) -> Value:
    """The first that is not null, in the type that all have together."""
    common = common_type(values)
    for value in values:
        if value is not None:
            return convert(value, common)
    raise ExpressionError("no non-null arguments")


def _coalesce_list(*lists: Value) -> Value:
    for each in lists:
        if each is not None and len(each):
            return each
    raise ExpressionError("no non-null arguments")


def _chunks(items: tuple[Value, ...], size: int) -> Value:
    if size < 0:
        raise ExpressionError("the size argument must be positive")
    if not size or not items:
        return (tuple(items),) if items else ()
    return tuple(tuple(items[at:at + size]) for at in range(0, len(items), size))


def _element(items: tuple[Value, ...], index: int) -> Value:
    if not items:
        raise ExpressionError("cannot use element function with an empty list")
    return items[index % len(items)]


def _flatten(items: tuple[Value, ...]) -> Value:
    return tuple(inner for item in items for inner in (_flatten(item) if isinstance(item, tuple) else (item,)))


def _index_of(items: tuple[Value, ...], wanted: Value) -> int:
    for position, item in enumerate(items):
        if equals(item, wanted):
            return Counted(position)
    raise ExpressionError("item not found" if items else "cannot search an empty list")


def _has_index(collection: Value, key: Value) -> bool:
    if isinstance(collection, SetValue) or not isinstance(collection, tuple | dict):
        raise ExpressionError("collection must be a list, a map or a tuple")
    try:
        element(collection, key)
    except ExpressionError:
        return False
    return True


def _length(collection: Value) -> int:
    if not isinstance(collection, tuple | dict):
        raise ExpressionError("collection must be a list, a map or a tuple")
    return Counted(len(collection))


def _lookup(mapping: dict[str, Value], key: str, *default: Value) -> Value:
    if key in mapping:
        return mapping[key]
    if not default:
        raise ExpressionError(f"no element exists with key `{key}`")
    return default[0]


def _merge(*maps: dict[str, Value] | None) -> Value:
    return {key: value for each in maps if each is not None for key, value in each.items()}


def _range(*limits: Value) -> Value:
    if len(limits) > 3:
        raise ExpressionError("must have one, two, or three arguments")
    start, end = (0, limits[0]) if len(limits) == 1 else limits[:2]
    step = limits[2] if len(limits) == 3 else 1 if end >= start else -1
    if step == 0:
        raise ExpressionError("step must not be zero")
    if end != start and (end > start) != (step > 0):
        raise ExpressionError("step has the wrong sign for the end")
    numbers: list[Value] = []
    value = start
    while (value < end) if step > 0 else (value > end):
        numbers.append(value)
        value = operate("+", value, step)
        if len(numbers) > _MAX_RANGE:
            raise ExpressionError(f"more than {_MAX_RANGE} values were generated")
    return tuple(numbers)


def _set_product(*collections: tuple[Value, ...]) -> Value:
    lists = [each if isinstance(each, SetValue) else convert(each, Type("list", element=ANY)) for each in collections]
    product = itertools.product(*lists)
    return SetValue.of(product) if all(isinstance(each, SetValue) for each in collections) else tuple(product)


def _product_size(*collections: tuple[Value, ...]) -> int:
    return math.prod(map(len, collections)) * (len(collections) + 1)


def _slice(items: tuple[Value, ...], start: int, end: int) -> Value:
    if not 0 <= start <= end <= len(items):
        raise ExpressionError(f"start and end must be in order, between 0 and {len(items)}")
    return tuple(items[start:end])


def _values(mapping: dict[str, Value]) -> Value:
    return tuple(value for _, value in elements(mapping))


def _zip_map(keys: tuple[str, ...], values: tuple[Value, ...]) -> Value:
    if len(keys) != len(values):
        raise ExpressionError(f"number of keys ({len(keys)}) does not match number of values ({len(values)})")
    return dict(zip(keys, values, strict=True))


FUNCTIONS = {
    "chunklist": Function(_chunks, ("same", "whole")), "coalesce": Function(_coalesce, ("any?",), "any?"),
    "coalescelist": Function(_coalesce_list, ("list?",), "list?"),
    "compact": Function(lambda items: ListValue.of((item for item in items if item), STRING), ("texts",)),
    "concat": Function(lambda *lists: tuple(itertools.chain(*lists)), ("list",), "list"),
    "contains": Function(_has, ("list", "any")), "distinct": Function(_distinct, ("same",)),
    "element": Function(_element, ("list", "whole")), "flatten": Function(_flatten, ("list",)),
    "hasindex": Function(_has_index, ("any", "any")), "index": Function(element, ("any", "any")),
    "indexof": Function(_index_of, ("list", "any")),
    "keys": Function(lambda mapping: tuple(sorted(mapping)), ("map",)), "length": Function(_length, ("any",)),
    "lookup": Function(_lookup, ("map", "string"), "any?"), "merge": Function(_merge, (), "map?"),
    "range": Function(_range, ("number",), "number"),
    "reverselist": Function(lambda items: tuple(reversed(items)), ("list",)),
    "setproduct": Function(_set_product, ("list",), "list", _product_size),
    "slice": Function(_slice, ("list", "whole", "whole")),
    "sort": Function(lambda items: ListValue.of(sorted(items, key=str.encode), STRING), ("strings",)),
    "values": Function(_values, ("map",)), "zipmap": Function(_zip_map, ("strings", "list")),
}
