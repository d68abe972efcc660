"""`--set PATTERN.KEY[.NAME]=VALUE`: what the command line changes in the targets that a pattern matches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from builder.bake.definition import Config
from builder.bake.entries import (
    Entry,
    parse_attestation,
    parse_caches,
    parse_output,
    parse_secret,
    parse_ssh,
)
from builder.bake.errors import BakeError
from builder.bake.target import Target
from builder.golang.bool import parse_bool
from builder.golang.glob import BadPattern, compile_pattern
from builder.golang.suggest import did_you_mean

_LISTS = ("output", "cache-to", "cache-from", "tags", "platform", "secrets", "ssh", "attest", "entitlements", "network",
          "annotations")
_MAPS = {"args": "args", "contexts": "contexts", "labels": "labels", "extra-hosts": "extra_hosts"}
_TEXTS = {"context": "context", "dockerfile": "dockerfile", "target": "target", "call": "call",
          "shm-size": "shm_size"}
_FLAGS = {"no-cache": "no_cache", "pull": "pull"}
_KEYS = (*_LISTS, *_MAPS, *_TEXTS, *_FLAGS, "push", "load", "no-cache-filter", "ulimits")


class InvalidOverride(BakeError):
    code = "bake-override"


class Override(msgspec.Struct, frozen=True):
    key: str
    name: str
    """The element of a map; "" for other fields."""
    values: tuple[str, ...]
    append: bool = False


def parse_overrides(texts: Sequence[str], config: Config,
                    environment: Mapping[str, str]) -> dict[str, dict[tuple[str, str], Override]]:
    """By target and by key. Raises InvalidOverride."""
    found: dict[str, dict[tuple[str, str], Override]] = {}
    for text in texts:
        path, equals, value = text.partition("=")
        keys = path.removesuffix("+").split(".", 2)
        if len(keys) < 2:
            raise InvalidOverride(f"invalid override key `{path}`", hint="it is written target.name=value")
        pattern, key, name = keys[0], keys[1], keys[2] if len(keys) > 2 else ""
        if not equals and key != "args":
            raise InvalidOverride(f"invalid override `{text}`", hint="it is written target.name=value")
        if key in ("args", "contexts") and not name:
            raise InvalidOverride(f"invalid key `{path}`, {key} requires name")
        targets = expand_targets(config, pattern)
        if not equals:
            if name not in environment:
                continue
            value = environment[name]
        for target in targets:
            own = found.setdefault(target, {})
            before = own.get((key, name))
            values = (*before.values, value) if before is not None and key in _LISTS else (value,)
            own[key, name] = Override(key, name, values, path.endswith("+"))
    return found


def expand_targets(config: Config, pattern: str) -> list[str]:
    """The targets that the pattern matches. Raises InvalidOverride when there are none."""
    names = [target.name for target in config.targets]
    found = [pattern] if pattern in names else matching(pattern, names)
    if not found:
        raise InvalidOverride(f"could not find any target matching '{pattern}'", hint=did_you_mean(pattern, names))
    return found


def matching(pattern: str, names: Sequence[str]) -> list[str]:
    """The names that a Go path pattern matches. Raises InvalidOverride for what is no pattern."""
    try:
        compiled = compile_pattern(pattern)
    except BadPattern as error:
        raise InvalidOverride(str(error)) from None
    return [name for name in names if compiled.fullmatch(name)]


def apply_overrides(target: Target, overrides: Mapping[tuple[str, str], Override]) -> Target:
    """Raises InvalidOverride, BadEntry."""
    for override in overrides.values():
        target = _apply(target, override)
    return target


def _apply(target: Target, override: Override) -> Target:
    key, values = override.key, override.values
    value = values[-1]
    change: dict[str, Any]
    if key in _TEXTS:
        change = {_TEXTS[key]: value}
    elif key in _FLAGS:
        change = {_FLAGS[key]: _bool(value, key)}
    elif key in _MAPS:
        if not override.name:
            raise InvalidOverride(f"invalid format for {key}, expecting {key}.<name>=<value>")
        change = {_MAPS[key]: {**getattr(target, _MAPS[key]), override.name: value}}
    elif key == "network":
        change = {"network": value}
    elif key == "push":
        change = {"outputs": push_override(target.outputs or (), _bool(value, key))}
    elif key == "load":
        change = {"outputs": load_override(target.outputs or ()) if _bool(value, key) else target.outputs}
    else:
        change = _list_change(target, override)
    return msgspec.structs.replace(target, **change)


def _list_change(target: Target, override: Override) -> dict[str, Any]:
    given = [value for value in override.values if value]
    match override.key:
        case "tags" | "platform" | "no-cache-filter" | "ulimits" as key:
            field = {"platform": "platforms", "no-cache-filter": "no_cache_filter"}.get(key, key)
            return {field: _joined(override, getattr(target, field), override.values)}
        case "output":
            return {"outputs": _joined(override, target.outputs, map(parse_output, given))}
        case "cache-from" | "cache-to" as key:
            entries = [entry for text in given for entry in parse_caches(text)]
            field = key.replace("-", "_")
            return {field: _joined(override, getattr(target, field), entries)}
        case "secrets":
            return {"secrets": _joined(override, target.secrets, map(parse_secret, given))}
        case "ssh":
            return {"ssh": _joined(override, target.ssh, map(parse_ssh, given))}
        case "attest":
            return {"attest": (*(target.attest or ()), *map(parse_attestation, given))}
        case "annotations" | "entitlements" as key:
            return {key: (*(getattr(target, key) or ()), *override.values)}
    raise InvalidOverride(f"unknown key: `{override.key}`", hint=did_you_mean(override.key, _KEYS))


def _joined(override: Override, before: tuple[Any, ...] | None, items: Any) -> tuple[Any, ...]:
    return (*(before or ()), *items) if override.append else tuple(items)


def _bool(text: str, key: str) -> bool:
    try:
        return parse_bool(text)
    except ValueError:
        raise InvalidOverride(f"invalid value {text} for boolean key {key}") from None


def push_override(outputs: tuple[Entry, ...], push: bool) -> tuple[Entry, ...]:
    """`--push`: images are pushed; an output that is none keeps its target from being pushed, but for `docker`."""
    if not push:
        return tuple(_with(output, push="false") if output.type == "image" else output
                     for output in _without_registry(list(outputs)))
    changed = tuple(_with(output, push="true") if output.type == "image" else output for output in outputs)
    if all(output.type == "docker" for output in outputs):
        return (*changed, Entry("image", {"push": "true"}))
    return changed


def load_override(outputs: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """`--load`: images are also brought into the store, unless an output is no image at all."""
    for output in outputs:
        if output.type == "docker" and not output.destination:
            return outputs
        if output.type not in ("docker", "image", "registry", "oci"):
            return outputs
    return (*outputs, Entry("docker"))


def _without_registry(outputs: list[Entry]) -> list[Entry]:
    """The last output takes the place of one that goes, as in buildx."""
    position = 0
    while position < len(outputs):
        if outputs[position].type == "registry":
            outputs[position] = outputs[-1]
            outputs.pop()
        else:
            position += 1
    return outputs


def _with(output: Entry, **attributes: str) -> Entry:
    return msgspec.structs.replace(output, attributes={**output.attributes, **attributes})
