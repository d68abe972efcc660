"""The functions of templates: Go's own and docker's, and how Go prints values."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec


class StringMap(dict[str, Any]):
    """A Go map, where a missing key is `<no value>`; other dicts stand for structs, where it is an error."""


class CallError(Exception):
    """What Go would say behind `error calling NAME:`."""


def is_true(value: Any) -> bool:
    return bool(value)


def go_text(value: Any, *, nested: bool = False) -> str:
    """`value` as fmt's %v writes it."""
    if value is None:
        return "<nil>" if nested else "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return _go_map(value)
    if isinstance(value, list | tuple):
        return "[" + " ".join(go_text(item, nested=True) for item in value) + "]"
    return _go_number(value) if isinstance(value, float) else str(value)


def _go_map(value: dict[str, Any]) -> str:
    """Sorted keys; an empty struct is `{}` where an empty map is `map[]`."""
    if not value and not isinstance(value, StringMap):
        return "{}"
    return "map[" + " ".join(f"{key}:{go_text(value[key], nested=True)}" for key in sorted(value)) + "]"


def _go_number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key, "" if isinstance(value, StringMap) else None)
        elif isinstance(value, list | tuple | str):
            if not isinstance(key, int) or isinstance(key, bool):
                raise CallError(f"cannot index slice/array with type {_type(key)}")
            if not 0 <= key < len(value):
                raise CallError(f"index out of range: {key}")
            value = value[key] if not isinstance(value, str) else value.encode()[key]
        elif value is None:
            raise CallError("index of untyped nil")
        else:
            raise CallError(f"can't index item of type {_type(value)}")
    return value


def _slice(value: Any, *bounds: Any) -> Any:
    if not isinstance(value, str | list | tuple):
        raise CallError(f"can't slice item of type {_type(value)}")
    low = bounds[0] if bounds else 0
    high = bounds[1] if len(bounds) > 1 else len(value)
    if not isinstance(low, int) or not isinstance(high, int) or not 0 <= low <= high <= len(value):
        raise CallError(f"index out of range: {high}")
    return value[low:high]


def _len(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if value is None:
        raise CallError("len of nil pointer")
    if not isinstance(value, dict | list | tuple):
        raise CallError(f"len of type {_type(value)}")
    return len(value)


def _print(*values: Any) -> str:
    """fmt.Sprint: a blank between two operands when neither is a string."""
    text = ""
    for at, value in enumerate(values):
        if at and not isinstance(value, str) and not isinstance(values[at - 1], str):
            text += " "
        text += go_text(value, nested=True)
    return text


def _printf(form: str, *values: Any) -> str:
    waiting = list(values)

    def replace(found: re.Match[str]) -> str:
        flags, verb = found[1], found[2]
        if verb == "%":
            return "%"
        if not waiting:
            return f"%!{verb}(MISSING)"
        return _formatted(flags, verb, waiting.pop(0))

    text = re.sub(r"%([-+ 0#]*\d*(?:\.\d+)?)([a-zA-Z%])", replace, form)
    extra = ", ".join(f"{_type(value)}={go_text(value, nested=True)}" for value in waiting)
    return text + (f"%!(EXTRA {extra})" if extra else "")


def _formatted(flags: str, verb: str, value: Any) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if verb in "xX" and isinstance(value, str):
        value, verb = value.encode().hex() if verb == "x" else value.encode().hex().upper(), "s"
    elif verb == "q" and isinstance(value, str):
        value, verb = _json(value), "s"
    elif verb == "t" and isinstance(value, bool):
        value, verb = go_text(value), "s"
    elif number and verb in ("dxXo" if isinstance(value, int) else "feEgG"):
        return str(f"%{flags}{verb}" % value)
    if verb in "vs" and (verb == "v" or isinstance(value, str | list | tuple)):
        return f"%{flags}s" % go_text(value, nested=True)
    return f"%!{verb}({_type(value)}={go_text(value, nested=True)})"


def _type(value: Any) -> str:
    names = {bool: "bool", int: "int", float: "float64", str: "string", type(None): "nil"}
    return names.get(type(value), "map[string]interface {}" if isinstance(value, dict) else "[]interface {}")


def _equal(value: Any, *others: Any) -> bool:
    return any(type(value) is type(other) and value == other for other in others)


def _compared(test: Callable[[Any, Any], bool]) -> Callable[..., bool]:
    def compare(left: Any, right: Any) -> bool:
        if type(left) is not type(right) or isinstance(left, bool | dict | list | type(None)):
            raise CallError("incompatible types for comparison")
        return test(left, right)

    return compare


def _join(items: Any, separator: str) -> str:
    if not isinstance(items, list | tuple):
        raise CallError(f"cannot join {_type(items)}")
    return separator.join(str(item) for item in items)


def _title(text: str) -> str:
    return re.sub(r"(^|[\s_-])(\w)", lambda found: found[1] + found[2].upper(), text)


def _table(*values: Any) -> str:
    return "\t".join(go_text(value) for value in values)


def _first(values: Iterable[Any], wanted: bool) -> Any:
    """What `and` and `or` give: the value that decides."""
    last = None
    for last in values:
        if is_true(last) is wanted:
            return last
    return last


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": lambda *values: _first(values, False), "or": lambda *values: _first(values, True),
    "not": lambda value: not is_true(value), "eq": _equal, "ne": lambda a, b: not _equal(a, b),
    "lt": _compared(lambda a, b: a < b), "le": _compared(lambda a, b: a <= b),
    "gt": _compared(lambda a, b: a > b), "ge": _compared(lambda a, b: a >= b),
    "index": _index, "slice": _slice, "len": _len, "print": _print, "printf": _printf,
    "println": lambda *values: " ".join(go_text(value, nested=True) for value in values) + "\n",
    "html": lambda *values: html.escape(_print(*values)).replace("&quot;", "&#34;").replace("&#x27;", "&#39;"),
    "json": _json, "join": _join, "split": lambda text, separator: text.split(separator) if separator else list(text),
    "lower": str.lower, "upper": str.upper, "title": _title, "truncate": lambda text, count: text[:count],
    "pad": lambda text, left, right: " " * left + text + " " * right if text else text,
    "table": _table,
}
