"""From a manifest or index down to the image of one platform.

Nothing here touches the network or the store: documents come from a function that returns verified bytes. Manifests
come from strangers: media types that contradict the content, unknown layer types and odd digests are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from builder.errors import ImageError
from builder.images.errors import LayerRefused, NoMatchingPlatform, NotAnImage
from builder.oci import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    Compression,
    Descriptor,
    ImageConfig,
    Index,
    Manifest,
    MediaType,
    Platform,
    decode_config,
    decode_index,
    decode_manifest,
    parse_digest,
)
from builder.platforms import match_order, normalize

Fetch = Callable[[Descriptor], bytes]
"""The verified bytes of a document."""

MAX_DEPTH = 4
"""Of indexes in indexes."""
_REFERENCE_TYPE = "vnd.docker.reference.type"
_SCHEMA1 = frozenset({"application/vnd.docker.distribution.manifest.v1+json",
                      "application/vnd.docker.distribution.manifest.v1+prettyjws"})
_LAYERS = {
    MediaType.OCI_LAYER: Compression.UNCOMPRESSED, MediaType.DOCKER_LAYER: Compression.UNCOMPRESSED,
    MediaType.OCI_LAYER_GZIP: Compression.GZIP, MediaType.DOCKER_LAYER_GZIP: Compression.GZIP,
    MediaType.OCI_LAYER_ZSTD: Compression.ZSTD, MediaType.DOCKER_LAYER_ZSTD: Compression.ZSTD,
}


class PlatformImage(msgspec.Struct, frozen=True, kw_only=True):
    """One platform's image: its manifest and config, checked against each other."""

    descriptor: Descriptor
    manifest: Manifest
    config: ImageConfig


class _Shape(msgspec.Struct):
    """What tells the kinds of documents apart; `Any` because only presence counts."""

    media_type: str = msgspec.field(default="", name="mediaType")
    manifests: Any = None
    layers: Any = None
    config: Any = None
    fs_layers: Any = msgspec.field(default=None, name="fsLayers")


def manifest_type(name: str, data: bytes, declared: str) -> str:
    """The media type of a manifest or index. Raises NotAnImage when `declared`, `mediaType` and content disagree.

    Content that can be read as both an index and a manifest would mean different images to different tools
    (CVE-2021-41190), so it is refused.
    """
    try:
        shape = msgspec.json.decode(data, type=_Shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotAnImage(name, f"its manifest is not JSON of the right form: {error}") from error
    known = MANIFEST_TYPES | INDEX_TYPES
    if declared in _SCHEMA1 or shape.fs_layers is not None:
        raise NotAnImage(name, "manifests of schema 1 are no longer supported")
    if shape.media_type and shape.media_type not in known:
        raise NotAnImage(name, f"its manifest has the type `{shape.media_type}`")
    if shape.media_type and declared in known and declared != shape.media_type:
        raise NotAnImage(name, f"it is declared as `{declared}` and calls itself `{shape.media_type}`")
    has_index, has_manifest = shape.manifests is not None, shape.config is not None or shape.layers is not None
    if has_index and has_manifest:
        raise NotAnImage(name, "its manifest is an index at the same time")
    found = shape.media_type or (declared if declared in known else "")
    if not found:
        found = MediaType.OCI_INDEX if has_index else MediaType.OCI_MANIFEST
    if found in (MANIFEST_TYPES if has_index else INDEX_TYPES):
        raise NotAnImage(name, f"its manifest is not what its type `{found}` says")
    return found


def find_platform(name: str, root: Descriptor, platform: Platform, fetch: Fetch) -> PlatformImage:
    """The image of `platform` at or below `root`. A manifest that no index wraps is taken whatever its platform.

    Raises NoMatchingPlatform, NotAnImage, LayerRefused, ImageError, and what `fetch` raises.
    """
    data = fetch(root)
    if manifest_type(name, data, root.media_type) in MANIFEST_TYPES:
        return _image(name, root, data, fetch)
    available: list[str] = []
    found = _search(name, decode_index(data), platform, fetch, available, MAX_DEPTH)
    if found is None:
        raise NoMatchingPlatform(name, platform, tuple(dict.fromkeys(available)))
    return found


def platforms_of(name: str, root: Descriptor, fetch: Fetch, depth: int = MAX_DEPTH) -> tuple[Platform, ...]:
    """The platforms that there are images of at or below `root`, in its order. Raises as find_platform does."""
    data = fetch(root)
    if manifest_type(name, data, root.media_type) in MANIFEST_TYPES:
        return (normalize(_image(name, root, data, fetch).config.platform),)
    found: list[Platform] = []
    for entry in decode_index(data).manifests:
        if entry.media_type not in MANIFEST_TYPES | INDEX_TYPES or is_attestation(entry):
            continue
        if entry.platform is not None:
            found.append(normalize(entry.platform))
        elif depth > 1:
            found += platforms_of(name, _checked(entry), fetch, depth - 1)
    return tuple(dict.fromkeys(found))


def is_attestation(entry: Descriptor) -> bool:
    """Whether an index entry holds what BuildKit says about an image rather than an image."""
    unknown = entry.platform is not None and entry.platform.os == entry.platform.architecture == "unknown"
    return unknown or _REFERENCE_TYPE in entry.annotations


def layer_compression(name: str, descriptor: Descriptor) -> Compression:
    """How the layer's blob is packed. Raises LayerRefused for types that cannot be unpacked."""
    media_type = descriptor.media_type
    if "foreign" in media_type or "nondistributable" in media_type:
        raise LayerRefused(name, media_type, "layers that are kept elsewhere are not supported")
    if media_type.endswith("+encrypted"):
        raise LayerRefused(name, media_type, "encrypted layers are not supported")
    try:
        return _LAYERS[MediaType(media_type)]
    except (ValueError, KeyError):
        raise LayerRefused(name, media_type, "no layer type that is known here") from None


def _search(name: str, index: Index, platform: Platform, fetch: Fetch, available: list[str],
            depth: int) -> PlatformImage | None:
    entries = [e for e in index.manifests if e.media_type in MANIFEST_TYPES | INDEX_TYPES and not is_attestation(e)]
    available += [str(e.platform) for e in entries if e.platform]
    for wanted in match_order(platform):
        for entry in entries:
            if entry.platform and _key(entry.platform) == _key(wanted):
                return find_platform(name, _checked(entry), platform, fetch)
    for entry in entries:
        if entry.platform is None and (found := _look_inside(name, entry, platform, fetch, available, depth)):
            return found
    return None


def _look_inside(name: str, entry: Descriptor, platform: Platform, fetch: Fetch, available: list[str],
                 depth: int) -> PlatformImage | None:
    """An entry that does not say its platform: a nested index, or an image whose config says it."""
    data = fetch(_checked(entry))
    if manifest_type(name, data, entry.media_type) in INDEX_TYPES:
        if depth <= 1:
            raise NotAnImage(name, f"its indexes are nested more than {MAX_DEPTH} deep")
        return _search(name, decode_index(data), platform, fetch, available, depth - 1)
    image = _image(name, entry, data, fetch)
    available.append(str(image.config.platform))
    accepted = [_key(p) for p in match_order(platform)]
    return image if _key(image.config.platform) in accepted else None


def _key(platform: Platform) -> tuple[str, str, str]:
    found = normalize(platform)
    return found.os, found.architecture, found.variant


def _image(name: str, descriptor: Descriptor, data: bytes, fetch: Fetch) -> PlatformImage:
    manifest = decode_manifest(data)
    for layer in manifest.layers:
        layer_compression(name, _checked(layer))
    config = decode_config(fetch(_checked(manifest.config)))
    diff_ids = config.rootfs.diff_ids or ()
    if len(diff_ids) != len(manifest.layers):
        raise NotAnImage(name, f"{len(manifest.layers)} layers in its manifest, {len(diff_ids)} in its config")
    for diff_id in diff_ids:
        parse_digest(diff_id)
    return PlatformImage(descriptor=descriptor, manifest=manifest, config=config)


def _checked(descriptor: Descriptor) -> Descriptor:
    """The descriptor, whose digest may now name a file. Raises ImageError."""
    parse_digest(descriptor.digest)
    if descriptor.size < 0:
        raise ImageError(f"a descriptor of {descriptor.digest} has the size {descriptor.size}")
    return descriptor
