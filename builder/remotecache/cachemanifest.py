"""The manifest of a remote cache: which keys it knows, and the layer blob of each.

It is an OCI manifest whose config is a cacheconfig (`builder.cache.cacheconfig`), or an index that lists one, as older
BuildKits wrote it. An inline cache is in the config of an image; an index above such images is read as well.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from builder.cache.cacheconfig import CREATED, DIFF_ID, INLINE_KEY, MEDIA_TYPE, decode_steps, encode_steps, layer_of
from builder.errors import BuilderError, ImageError
from builder.images.assemble import exported_descriptor
from builder.images.documents import index_bytes, manifest_bytes
from builder.images.manifest import Fetch, is_attestation, layer_compression, manifest_type
from builder.oci import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    Descriptor,
    Digest,
    LayerBlob,
    Manifest,
    MediaType,
    decode_config,
    decode_index,
    decode_json,
    decode_manifest,
    parse_digest,
)
from builder.remotecache.explanations import MEDIA_TYPE as EXPLANATIONS
from builder.remotecache.explanations import Explanation, decode_explanations, encode_explanations
from builder.remotecache.locations import CacheExport

if TYPE_CHECKING:
    from builder.store import Store

_MAX_DOCUMENT = 64 << 20
_MAX_DEPTH = 3


class CacheManifest:
    """What a manifest, or an index above several, says."""

    def __init__(self, name: str, root: Descriptor, fetch: Fetch) -> None:
        """Reads all but the explanations, from `root` on. Raises RegistryError, ImageError."""
        self._name = name
        self._fetch = fetch
        self._explanations: dict[Digest, Descriptor] = {}
        self._visited: set[Digest] = set()
        self.layers: Mapping[str, LayerBlob] = self._read(root, _MAX_DEPTH)
        """By key."""

    def fetch_explanations(self) -> dict[str, Explanation]:
        """What the keys were made of, by key; without blobs that cannot be read."""
        found: dict[str, Explanation] = {}
        for descriptor in self._explanations.values():
            with contextlib.suppress(BuilderError):
                found |= decode_explanations(self._document(descriptor))
        return found

    def _read(self, root: Descriptor, depth: int) -> dict[str, LayerBlob]:
        data = self._document(root)
        if manifest_type(self._name, data, root.media_type) not in INDEX_TYPES:
            manifest = decode_manifest(data)
            config = self._document(manifest.config)
            if manifest.config.media_type == MEDIA_TYPE:
                return decode_steps(config, self._listed(manifest.layers))
            return self._inline(manifest, config)
        entries = decode_index(data).manifests
        document = next((entry for entry in entries if entry.media_type == MEDIA_TYPE), None)
        if document is not None:
            return decode_steps(self._document(document), self._listed(entries))
        found: dict[str, LayerBlob] = {}
        for entry in entries if depth else ():
            if entry.media_type in MANIFEST_TYPES | INDEX_TYPES and not is_attestation(entry) and (
                    entry.digest not in self._visited):
                self._visited.add(entry.digest)
                found = {**self._read(entry, depth - 1), **found}
        return found

    def _listed(self, descriptors: Iterable[Descriptor]) -> dict[Digest, LayerBlob]:
        layers: dict[Digest, LayerBlob] = {}
        for descriptor in descriptors:
            if descriptor.media_type == EXPLANATIONS:
                self._explanations[descriptor.digest] = descriptor
            elif (layer := layer_of(descriptor)) is not None:
                layer_compression(self._name, descriptor)
                layers[descriptor.digest] = layer
        return layers

    def _inline(self, manifest: Manifest, config: bytes) -> dict[str, LayerBlob]:
        """What the config of an image says of its layers."""
        try:
            inline = decode_json(config, dict[str, Any]).get(INLINE_KEY)
        except msgspec.DecodeError:
            inline = None
        if inline is None:
            return {}
        image = decode_config(config)
        times = [entry.created or "" for entry in image.history or () if not entry.empty_layer]
        return decode_steps(msgspec.json.encode(inline), self._listed(
            msgspec.structs.replace(descriptor, annotations={DIFF_ID: diff_id, CREATED: created})
            for descriptor, diff_id, created in zip(manifest.layers, image.rootfs.diff_ids or (), times, strict=False)))

    def _document(self, descriptor: Descriptor) -> bytes:
        parse_digest(descriptor.digest)
        if not 0 <= descriptor.size <= _MAX_DOCUMENT:
            raise ImageError(f"the cache has a document of {descriptor.size} bytes")
        return self._fetch(descriptor)


def store_manifest(store: Store, export: CacheExport, layers: Mapping[str, LayerBlob],
                   explanations: Iterable[Explanation]) -> Descriptor:
    """Puts the manifest of a cache, and its documents, into the store. Raises StoreError."""
    def put(media_type: str, data: bytes) -> Descriptor:
        return Descriptor(media_type=media_type, digest=store.put_blob(data), size=len(data))

    oci = export.oci_mediatypes
    config = put(MEDIA_TYPE, encode_steps(layers))
    listed = {layer.descriptor.digest: msgspec.structs.replace(
        exported_descriptor(layer.descriptor, oci=oci), annotations=layer.descriptor.annotations)
        for _, layer in sorted(layers.items())}
    blobs = [*listed.values(), put(EXPLANATIONS, encode_explanations(explanations))]
    if export.image_manifest:
        return put(MediaType.OCI_MANIFEST, manifest_bytes(config, blobs, {}, oci=True))
    return put(MediaType.OCI_INDEX if oci else MediaType.DOCKER_LIST, index_bytes((*blobs, config), {}, oci=oci))
