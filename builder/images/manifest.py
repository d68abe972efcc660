"""From a manifest or index down to the image of one platform.

Nothing here touches the network or the store: documents come from a function that returns verified bytes. Manifests
come from strangers: media types that contradict the content, unknown layer types and odd digests are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from builder.errors import BuilderError, ImageError
from builder.images.errors import LayerRefused, NoMatchingPlatform, NotAnImage
from builder.oci import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    Compression,
    Descriptor,
    Digest,
    ImageConfig,
    Index,
    Manifest,
    MediaType,
    Platform,
    decode_config,
    decode_index,
    decode_json,
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
        shape = decode_json(data, _Shape)
    except msgspec.DecodeError as error:
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
    search = _Search(name, platform, fetch)
    found = search.below(decode_index(data), MAX_DEPTH)
    if found is None:
        raise NoMatchingPlatform(name, platform, tuple(dict.fromkeys(search.available)))
    return found


def platforms_of(name: str, root: Descriptor, fetch: Fetch) -> tuple[Platform, ...]:
    """The platforms that there are images of at or below `root`, in its order. Raises as find_platform does."""
    found: list[Platform] = []
    seen: set[Digest] = set()

    def add(descriptor: Descriptor, depth: int) -> None:
        data = fetch(descriptor)
        if manifest_type(name, data, descriptor.media_type) in MANIFEST_TYPES:
            found.append(normalize(_image(name, descriptor, data, fetch).config.platform))
            return
        for entry in _entries(decode_index(data)):
            if entry.platform is not None:
                found.append(normalize(entry.platform))
            elif depth > 1 and entry.digest not in seen:
                seen.add(entry.digest)
                add(_checked(entry), depth - 1)

    add(root, MAX_DEPTH)
    return tuple(dict.fromkeys(found))


def images_of(name: str, root: Descriptor, fetch: Fetch) -> Iterator[PlatformImage]:
    """The images at or below `root`, of all platforms, whose documents `fetch` has; others are passed over."""
    todo, seen = [(root, MAX_DEPTH)], {root.digest}
    while todo:
        descriptor, depth = todo.pop(0)
        try:
            data = fetch(_checked(descriptor))
            if manifest_type(name, data, descriptor.media_type) in MANIFEST_TYPES:
                yield _image(name, descriptor, data, fetch)
                continue
            entries = _entries(decode_index(data)) if depth else []
        except BuilderError:
            continue
        todo += [(entry, depth - 1) for entry in entries if entry.digest not in seen]
        seen |= {entry.digest for entry in entries}


def is_attestation(entry: Descriptor) -> bool:
    """Whether an index entry holds what BuildKit says about an image rather than an image."""
    unknown = entry.platform is not None and entry.platform.os == entry.platform.architecture == "unknown"
    return unknown or _REFERENCE_TYPE in entry.annotations


def layer_compression(name: str, descriptor: Descriptor) -> Compression:
    """How the layer's blob is packed. Raises LayerRefused for types that cannot be unpacked."""
    media_type = descriptor.media_type
    if "foreign" in media_type or "nondistributable" in media_type:
        raise LayerRefused(name, media_type, "foreign layers (with `urls`) are not supported")
    if media_type.endswith("+encrypted"):
        raise LayerRefused(name, media_type, "encrypted layers are not supported")
    try:
        return _LAYERS[MediaType(media_type)]
    except (ValueError, KeyError):
        raise LayerRefused(name, media_type, "no layer type that is known here") from None


class _Search:
    """For one platform's image, in an index and the indexes in it. No document is looked into twice: an index that
    lists another one a thousand times, and so on, would have no end.
    """

    def __init__(self, name: str, platform: Platform, fetch: Fetch) -> None:
        self._name = name
        self._fetch = fetch
        self._order = match_order(platform)
        self._seen: set[Digest] = set()
        self.available: list[str] = []
        """The platforms met on the way."""

    def below(self, index: Index, depth: int) -> PlatformImage | None:
        entries = _entries(index)
        self.available += [str(e.platform) for e in entries if e.platform]
        by_platform = {_key(e.platform): e for e in reversed(entries) if e.platform}
        for wanted in self._order:
            if (entry := by_platform.get(_key(wanted))) is not None:
                if (found := self._inside(entry, depth, says_platform=True)) is None:
                    raise NoMatchingPlatform(self._name, wanted, tuple(dict.fromkeys(self.available)))
                return found
        for entry in entries:
            if entry.platform is None and (found := self._inside(entry, depth, says_platform=False)):
                return found
        return None

    def _inside(self, entry: Descriptor, depth: int, *, says_platform: bool) -> PlatformImage | None:
        """A nested index, or an image, whose config says its platform where the entry does not."""
        if entry.digest in self._seen:
            return None
        self._seen.add(entry.digest)
        data = self._fetch(_checked(entry))
        if manifest_type(self._name, data, entry.media_type) in INDEX_TYPES:
            if depth <= 1:
                raise NotAnImage(self._name, f"its indexes are nested more than {MAX_DEPTH} deep")
            return self.below(decode_index(data), depth - 1)
        image = _image(self._name, entry, data, self._fetch)
        if says_platform:
            return image
        self.available.append(str(image.config.platform))
        return image if _key(image.config.platform) in [_key(p) for p in self._order] else None


def _entries(index: Index) -> list[Descriptor]:
    """What an index lists, without what is no image and without attestations."""
    return [e for e in index.manifests if e.media_type in MANIFEST_TYPES | INDEX_TYPES and not is_attestation(e)]


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
