"""The fields of a target as definitions write them: names, and what values they take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from builder.bake.entries import (
    Entry,
    Secret,
    Ssh,
    attestations_of,
    caches_of,
    outputs_of,
    secrets_of,
    ssh_of,
)
from builder.bake.errors import ExpressionError
from builder.bake.types import STRING, Type, convert
from builder.bake.values import Value, bool_of, kind_of, text_of

_WORDS = Type("list", element=STRING)


class Field(msgspec.Struct, frozen=True):
    attribute: str
    """In Target."""
    decode: Callable[[Value], Any]
    encode: Callable[[Any], Value] = lambda value: value
    """What another expression sees that refers to the field."""


def _words(value: Value) -> tuple[str, ...]:
    words: tuple[str, ...] = convert(value, _WORDS)
    if None in words:
        raise ExpressionError("string required, but there is a null element")
    return words


def _map(value: Value) -> dict[str, str]:
    """Null elements are as if they were not there."""
    if not isinstance(value, dict):
        raise ExpressionError(f"map of string required, but this is {kind_of(value)}")
    return {key: text_of(item) for key, item in sorted(value.items()) if item is not None}


def _entry_value(entry: Entry) -> Value:
    disabled = {"disabled": "true"} if entry.disabled else {}
    return {**entry.attributes, "type": entry.type, **disabled}


def _output_value(entry: Entry) -> Value:
    return {**entry.attributes, "type": entry.type, "dest": entry.destination}


def _secret_value(secret: Secret) -> Value:
    return {"id": secret.id, "src": secret.file, "env": secret.variable}


def _ssh_value(ssh: Ssh) -> Value:
    return {"id": ssh.id, "paths": ssh.paths}


def _each(encode: Callable[[Any], Value]) -> Callable[[Any], Value]:
    return lambda items: tuple(encode(item) for item in items)


TARGET_FIELDS: dict[str, Field] = {
    "description": Field("description", text_of), "inherits": Field("inherits", _words),
    "annotations": Field("annotations", _words), "attest": Field("attest", attestations_of, _each(_entry_value)),
    "context": Field("context", text_of), "contexts": Field("contexts", _map),
    "dockerfile": Field("dockerfile", text_of), "dockerfile-inline": Field("dockerfile_inline", text_of),
    "args": Field("args", _map), "labels": Field("labels", _map), "tags": Field("tags", _words),
    "cache-from": Field("cache_from", caches_of, _each(_entry_value)),
    "cache-to": Field("cache_to", caches_of, _each(_entry_value)), "target": Field("target", text_of),
    "secret": Field("secrets", secrets_of, _each(_secret_value)), "ssh": Field("ssh", ssh_of, _each(_ssh_value)),
    "platforms": Field("platforms", _words), "output": Field("outputs", outputs_of, _each(_output_value)),
    "pull": Field("pull", bool_of), "no-cache": Field("no_cache", bool_of), "network": Field("network", text_of),
    "no-cache-filter": Field("no_cache_filter", _words), "shm-size": Field("shm_size", text_of),
    "ulimits": Field("ulimits", _words), "call": Field("call", text_of),
    "entitlements": Field("entitlements", _words), "extra-hosts": Field("extra_hosts", _map),
}
GROUP_FIELDS: dict[str, Field] = {
    "description": Field("description", text_of), "targets": Field("targets", _words),
}
