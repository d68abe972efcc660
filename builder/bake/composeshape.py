"""Which kinds of values a compose file may have where: what is read of it later is what it looks like.

Docker validates against a JSON schema of everything; here only what a build needs is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from builder.bake.errors import BakeError

Shape: TypeAlias = Callable[[Any, str], None]
"""Raises InvalidCompose for a value that is none of the shape; the text is the value's path. Null fits every shape."""

_MAX_VALUES = 100_000


class InvalidCompose(BakeError):
    code = "compose"


class Reset:
    """The value of `!reset`: what other files gave is taken away."""


class Override:
    """The value of `!override`: it replaces what other files gave, instead of being merged."""

    def __init__(self, value: Any) -> None:
        self.value = value


def check_size(data: Any, name: str) -> None:
    """Raises InvalidCompose where aliases make a file endless, or larger than any person means."""
    pending, seen = [data], 0
    while pending:
        value = pending.pop()
        seen += 1
        if seen > _MAX_VALUES:
            raise InvalidCompose(f"`{name}` has more than {_MAX_VALUES} values: do its aliases repeat each other?")
        if isinstance(value, dict):
            pending += value.values()
        elif isinstance(value, list):
            pending += value


def check_shape(data: Mapping[str, Any]) -> None:
    """Raises InvalidCompose for the first value of a kind that means nothing in its place."""
    for key, shape in _FILE.items():
        shape(data.get(key), key)


def _plain(value: Any) -> Any:
    """What `!override` stands before; null for `!reset`."""
    if isinstance(value, Override):
        return _plain(value.value)
    return None if isinstance(value, Reset) else value


def _text(value: Any, path: str) -> None:
    if isinstance(_plain(value), dict | list):
        raise InvalidCompose(f"{path} must be a single value")


def _string(value: Any, path: str) -> None:
    if not isinstance(_plain(value), str | None):
        raise InvalidCompose(f"{path} must be a string")


def _list(item: Shape) -> Shape:
    def check(value: Any, path: str) -> None:
        value = _plain(value)
        if value is not None and not isinstance(value, list):
            raise InvalidCompose(f"{path} must be a list")
        for position, each in enumerate(value or ()):
            item(each, f"{path}[{position}]")

    return check


def _mapping(item: Shape, fields: Mapping[str, Shape] | None = None) -> Shape:
    """Any names, with values of one shape; those of `fields` have shapes of their own."""

    def check(value: Any, path: str) -> None:
        value = _plain(value)
        if value is not None and not isinstance(value, dict):
            raise InvalidCompose(f"{path} must be a mapping")
        for key, each in (value or {}).items():
            if not isinstance(key, str):
                raise InvalidCompose(f"non-string key in {path}: {key}", hint="write it in quotes")
            (fields or {}).get(key, item)(each, f"{path}.{key}")

    return check


def _one_of(what: str, *shapes: tuple[type | tuple[type, ...], Shape]) -> Shape:
    """The shape that goes with the value's type; `what` names them all."""

    def check(value: Any, path: str) -> None:
        value = _plain(value)
        shape = next((shape for kind, shape in shapes if isinstance(value, kind)), None)
        if value is not None and shape is None:
            raise InvalidCompose(f"{path} must be {what}")
        if shape is not None:
            shape(value, path)

    return check


def _any(value: Any, path: str) -> None:
    pass


_TEXTS = _list(_text)
_PAIRS = _one_of("a mapping or a list", (dict, _mapping(_text)), (list, _TEXTS))
_WORDS = _one_of("a list or a text", (list, _list(_string)), (str, _text))
_ADDRESSES = _one_of("a mapping or a list", (list, _TEXTS), (
    dict, _mapping(_one_of("an address or a list", (list, _TEXTS), (str, _text)))))
_LIMITS = _mapping(_one_of("a number, or `soft` and `hard`", (dict, _mapping(_text)), ((int, float, str), _text)))
_BUILD = _mapping(_any, {
    **dict.fromkeys(("context", "dockerfile", "dockerfile_inline", "target", "network"), _string),
    **dict.fromkeys(("shm_size", "no_cache", "pull", "sbom", "provenance"), _text),
    **dict.fromkeys(("tags", "cache_from", "cache_to", "platforms"), _TEXTS),
    **dict.fromkeys(("args", "labels", "additional_contexts", "ssh"), _PAIRS),
    "secrets": _list(_one_of("a name or a mapping", (dict, _mapping(_text)), (str, _text))),
    "ulimits": _LIMITS, "extra_hosts": _ADDRESSES,
    "x-bake": _mapping(_any, {
        **dict.fromkeys(("tags", "platforms", "no-cache-filter", "cache-from", "cache-to", "secret", "ssh", "output"),
                        _WORDS), "pull": _text, "no-cache": _text, "contexts": _PAIRS}),
})
_FILES = _list(_one_of("a path or a mapping", (dict, _mapping(_text)), (str, _text)))
_SERVICE = _mapping(_any, {
    "build": _one_of("a path or a mapping", (dict, _BUILD), (str, _text)), "image": _text, "environment": _PAIRS,
    "env_file": _one_of("a path or a list", (list, _FILES), (dict, _mapping(_text)), (str, _text)),
    "extends": _one_of("a service or a mapping", (dict, _mapping(_string)), (str, _text)),
})
_FILE: dict[str, Shape] = {
    "services": _mapping(_SERVICE), "secrets": _mapping(_mapping(_any)),
    "include": _list(_one_of("a path or a mapping", (dict, _mapping(_any, {"path": _WORDS})), (str, _text))),
}
