"""Compose files as data: YAML read, variables filled in, several files and `include` merged, `extends` carried out.

Only what `build` needs is given a meaning (services, secrets); everything else is left alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from builder.bake.composeshape import InvalidCompose, Override, Reset, check_shape, check_size
from builder.bake.errors import BakeSyntaxError
from builder.bake.interpolation import MAX_TOTAL, InvalidInterpolation, interpolate, parse_dotenv
from builder.source import Location, Source, Span

Data: TypeAlias = dict[str, Any]

_MAPPINGS = frozenset({"args", "labels", "environment", "additional_contexts", "contexts", "annotations"})
"""Fields written as a mapping or as a list of `key=value`."""
_REPLACED = frozenset({"command", "entrypoint"})
_MAX_INCLUDES = 100


def load_compose(files: Sequence[tuple[str, str]], environment: Mapping[str, str]) -> Data:
    """The merged files, given as (name, text). Raises InvalidCompose, BakeSyntaxError."""
    merged: Data = {}
    for name, text in files:
        merged = merge(merged, _Loader(environment).load(name, text))
    if not any(merged.get(key) for key in ("services", "secrets")):
        raise InvalidCompose("empty compose file")
    settled: Data = _settled(merged)
    return settled


def with_dotenv(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment, and below it what the file `.env` of the working directory sets."""
    try:
        with open(".env", encoding="utf-8") as file:
            return {**parse_dotenv(file.read(), environment), **environment}
    except (FileNotFoundError, IsADirectoryError):
        return dict(environment)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidCompose("cannot read `.env`", cause=str(error)) from error


class _Loader:
    """One file and those that it includes."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._included = 0

    def load(self, name: str, text: str) -> Data:
        data = _parse(name, text)
        if not isinstance(data, dict):
            raise InvalidCompose(f"`{name}` is no compose file: it holds no mapping")
        check_size(data, name)
        data = _Filled(self._environment).data(data)
        check_shape(data)
        included: Data = {}
        for entry in data.pop("include", None) or ():
            included = merge(included, self._include(entry, os.path.dirname(name)))
        for service in list(data.get("services") or ()):
            self._extend(name, data["services"], service, ())
        merged: Data = merge(included, data)
        return merged

    def _include(self, entry: Any, folder: str) -> Data:
        self._included += 1
        if self._included > _MAX_INCLUDES:
            raise InvalidCompose("compose files include each other")
        paths = entry.get("path") if isinstance(entry, dict) else entry
        merged: Data = {}
        for path in [paths] if isinstance(paths, str) else paths or ():
            full = os.path.join(folder, path)
            merged = merge(merged, _rebased(self.load(full, _read(full)), os.path.dirname(path)))
        return merged

    def _extend(self, name: str, services: Data, service: str, visited: tuple[str, ...]) -> None:
        """Replaces a service by its `extends` with its own fields merged over it."""
        own = services.get(service)
        if not isinstance(own, dict) or not own.get("extends"):
            return
        if service in visited:
            raise InvalidCompose(f"service `{service}` extends itself")
        reference = own.pop("extends")
        base_name = reference if isinstance(reference, str) else reference.get("service", "")
        file = None if isinstance(reference, str) else reference.get("file")
        if file:
            path = os.path.join(os.path.dirname(name), file)
            others = _rebased(self.load(path, _read(path)), os.path.dirname(file)).get("services") or {}
        else:
            others = services
            self._extend(name, services, base_name, (*visited, service))
        base = others.get(base_name)
        if not isinstance(base, dict):
            raise InvalidCompose(f"cannot extend service `{base_name}` in {file or name}: service not found")
        services[service] = merge({key: value for key, value in base.items() if key != "depends_on"}, own)


def merge(base: Any, over: Any, key: str = "") -> Any:
    """`over` on top of `base`: mappings are joined, lists appended."""
    if isinstance(over, Reset | Override) or base is None:
        return over
    if over is None:
        return base
    if key == "build":
        base, over = _long_build(base), _long_build(over)
    elif key in _MAPPINGS:
        base, over = mapping(base), mapping(over)
    if isinstance(base, dict) and isinstance(over, dict):
        joined = dict(base)
        for name, value in over.items():
            joined[name] = merge(base.get(name), value, name)
        return joined
    if isinstance(base, list) and isinstance(over, list) and key not in _REPLACED:
        return [*base, *(item for item in over if item not in base)]
    return over


def mapping(value: Any) -> Data:
    """A mapping of what is one, or a list of `key=value`; a key without a value has None."""
    if isinstance(value, dict):
        return value
    pairs = [str(item).partition("=") for item in value or ()]
    return {key: text if equals else None for key, equals, text in pairs}


def _long_build(build: Any) -> Any:
    return {"context": build} if isinstance(build, str) else build


def _settled(data: Any) -> Any:
    """Without the marks of `!reset` and `!override`."""
    if isinstance(data, Override):
        return _settled(data.value)
    if isinstance(data, dict):
        return {key: _settled(value) for key, value in data.items() if not isinstance(value, Reset)}
    if isinstance(data, list):
        return [_settled(item) for item in data]
    return data


class _Filled:
    """Fills variables in, as long as that does not come to too much text."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._left = MAX_TOTAL

    def data(self, data: Any, path: str = "") -> Any:
        """Raises InvalidInterpolation, which names the `path` of the value."""
        if isinstance(data, str):
            try:
                text = interpolate(data, self._environment)
            except InvalidInterpolation as error:
                error.notes = (f"in the value of `{path}`",)
                raise
            self._left -= len(text)
            if self._left < 0:
                raise InvalidInterpolation(f"variables make the file come to more than {MAX_TOTAL >> 20} Mi characters")
            return text
        if isinstance(data, dict):
            return {key: self.data(value, f"{path}.{key}".lstrip(".")) for key, value in data.items()}
        if isinstance(data, list):
            return [self.data(item, path) for item in data]
        return Override(self.data(data.value)) if isinstance(data, Override) else data


def _rebased(data: Data, folder: str) -> Data:
    """The contexts of another file's services, relative to ours."""
    for service in (data.get("services") or {}).values():
        build = _long_build(service.get("build")) if isinstance(service, dict) else None
        if folder and isinstance(build, dict):
            context = build.get("context") or "."
            if "://" not in context and not os.path.isabs(context):
                service["build"] = {**build, "context": os.path.normpath(os.path.join(folder, context))}
    return data


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidCompose(f"cannot read `{path}`", cause=getattr(error, "strerror", None) or str(error)) from error


def _parse(name: str, text: str) -> Any:
    from builder.bake.yamlfile import YamlError, load_yaml

    try:
        return load_yaml(text, {"!reset": lambda value: Reset(), "!override": Override})
    except YamlError as error:
        span = Span(error.line, error.column, error.line, error.column + 1)
        raise BakeSyntaxError(f"invalid YAML: {error.problem}", location=Location(Source(name, text), span)) from None
