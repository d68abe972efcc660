"""The JSON of images as BuildKit writes it, byte for byte: field order, indentation, escapes, times.

Config: keys sorted, compact. Manifest and index: two spaces of indentation. In all of them `<`, `>` and `&` are
escaped, as Go's encoding/json does, and what is empty is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from builder.oci import Descriptor, DiffID, History, ImageConfig, MediaType, Platform

_ESCAPES = ((b"<", b"\\u003c"), (b">", b"\\u003e"), (b"&", b"\\u0026"),
            ("\u2028".encode(), b"\\u2028"), ("\u2029".encode(), b"\\u2029"))


def config_bytes(config: ImageConfig, diff_ids: Iterable[DiffID], history: Iterable[History],
                 created: str | None, more: Mapping[str, Any] = MappingProxyType({})) -> bytes:
    """The image config with its layers, history, time of creation and `more` fields."""
    document: dict[str, Any] = {
        "architecture": config.architecture,
        "author": config.author,
        "config": _container(config),
        "created": created,
        "history": [_present(_builtins(entry)) for entry in history],
        "os": config.os,
        "os.features": list(config.os_features),
        "os.version": config.os_version,
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
        "variant": config.variant,
        **more,
    }
    required = {"architecture", "config", "created", "history", "os", "rootfs"}
    return _escaped(msgspec.json.encode({k: v for k, v in sorted(document.items()) if v or k in required}))


def manifest_bytes(config: Descriptor, layers: Iterable[Descriptor], annotations: Mapping[str, str], *,
                   oci: bool) -> bytes:
    media_type = MediaType.OCI_MANIFEST if oci else MediaType.DOCKER_MANIFEST
    document = {"schemaVersion": 2, "mediaType": media_type, "config": descriptor_fields(config),
                "layers": [descriptor_fields(layer) for layer in layers]}
    return _indented(document, annotations)


def index_bytes(manifests: Iterable[Descriptor], annotations: Mapping[str, str], *, oci: bool,
                indent: bool = True) -> bytes:
    media_type = MediaType.OCI_INDEX if oci else MediaType.DOCKER_LIST
    document = {"schemaVersion": 2, "mediaType": media_type,
                "manifests": [descriptor_fields(manifest) for manifest in manifests]}
    return _indented(document, annotations) if indent else _escaped(msgspec.json.encode(document))


def descriptor_fields(descriptor: Descriptor) -> dict[str, Any]:
    """A descriptor as JSON fields, in Go's order."""
    fields: dict[str, Any] = {"mediaType": str(descriptor.media_type), "digest": descriptor.digest,
                              "size": descriptor.size}
    if descriptor.annotations:
        fields["annotations"] = _sorted(descriptor.annotations)
    if descriptor.platform:
        fields["platform"] = platform_fields(descriptor.platform)
    return fields


def platform_fields(platform: Platform) -> dict[str, Any]:
    fields = {"architecture": platform.architecture, "os": platform.os, "os.version": platform.os_version,
              "os.features": list(platform.os_features), "variant": platform.variant}
    return _present(fields)


def _container(config: ImageConfig) -> dict[str, Any]:
    fields = _present(_builtins(config.config))
    for name in ("ExposedPorts", "Volumes", "Labels"):
        if name in fields:
            fields[name] = _sorted(fields[name])
    return fields


def _builtins(value: msgspec.Struct) -> dict[str, Any]:
    return dict(msgspec.to_builtins(value))


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value or key == "Healthcheck"}


def _sorted(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return dict(sorted(mapping.items(), key=lambda item: item[0].encode()))


def _indented(document: dict[str, Any], annotations: Mapping[str, str]) -> bytes:
    if annotations:
        document["annotations"] = _sorted(annotations)
    return _escaped(msgspec.json.format(msgspec.json.encode(document), indent=2))


def _escaped(data: bytes) -> bytes:
    # These characters occur in JSON only inside strings.
    for plain, escape in _ESCAPES:
        data = data.replace(plain, escape)
    return data
