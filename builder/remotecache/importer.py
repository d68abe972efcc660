"""Reading step caches: which keys a place knows, and the layers behind them, several downloads at a time.

Only documents are read at first; a layer is fetched when a build uses it, and what is in the store already is not.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from builder.cache.document import CREATED, DIFF_ID, INLINE_KEY, MEDIA_TYPE, CachedLayer, decode_steps, layer_of
from builder.errors import BuilderError, ImageError
from builder.images.manifest import is_attestation, layer_compression, manifest_type
from builder.images.pull import LayerSource, Progress
from builder.oci import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    Descriptor,
    DiffID,
    Digest,
    Manifest,
    decode_config,
    decode_index,
    decode_json,
    decode_manifest,
    parse_digest,
)
from builder.plan.vertices import FromLayout, FromRegistry, ImageOrigin, ResolvedImage, SourceImage
from builder.registry.access import RegistryAccess
from builder.remotecache.explanations import MEDIA_TYPE as EXPLANATIONS
from builder.remotecache.explanations import Explanation, decode_explanations
from builder.remotecache.locations import ImportPlace

if TYPE_CHECKING:
    from builder.store import Store
    from builder.store.layers import LayerId

_PARALLEL = 3
_MAX_DOCUMENT = 64 << 20
_MAX_DEPTH = 3

Fetch = Callable[[Descriptor], bytes]


class CacheUnreadable(BuilderError):
    """A layer that a cache promised cannot be had."""

    code = "cache-unreadable"

    def __init__(self, place: str, error: BuilderError) -> None:
        super().__init__(f"cannot take a layer from the cache {place}", cause=error.message,
                         hint="rebuild without --cache-from, then export the cache again")


class RemoteSteps:
    """What one place knows."""

    def __init__(self, place: ImportPlace, origin: ImageOrigin, layers: LayerSource, root: Descriptor,
                 fetch: Fetch) -> None:
        """Reads all but the explanations, from `root` on. `layers` may use the place's own way to its registry.

        Raises RegistryError, ImageError.
        """
        self.place = place
        self.origin = origin
        self.layers = layers
        self._fetch = fetch
        self._explaining: list[Descriptor] = []
        self._lock = threading.Lock()
        self._read_already: set[Digest] = set()
        self.steps = self._read(root, _MAX_DEPTH)

    def explanations(self) -> Mapping[str, Explanation]:
        """What the keys were made of, by key, as far as the place tells."""
        with self._lock:
            return self._explanations

    @functools.cached_property
    def _explanations(self) -> dict[str, Explanation]:
        found: dict[str, Explanation] = {}
        for descriptor in self._explaining:
            with contextlib.suppress(BuilderError):
                found |= decode_explanations(self._fetch(_bounded(descriptor)))
        return found

    def _read(self, root: Descriptor, depth: int) -> dict[str, CachedLayer]:
        """All that a manifest of a cache, an image with an inline cache, or an index above such images tells."""
        data, name = self._fetch(_bounded(root)), str(self.place)
        if manifest_type(name, data, root.media_type) not in INDEX_TYPES:
            manifest = decode_manifest(data)
            config = self._fetch(_bounded(manifest.config))
            if manifest.config.media_type == MEDIA_TYPE:
                return decode_steps(config, self._listed(manifest.layers))
            return _inline_steps(name, manifest, config)
        entries = decode_index(data).manifests
        document = next((entry for entry in entries if entry.media_type == MEDIA_TYPE), None)
        if document is not None:  # as older BuildKits wrote a cache
            return decode_steps(self._fetch(_bounded(document)), self._listed(entries))
        found: dict[str, CachedLayer] = {}
        for entry in entries if depth else ():
            if entry.media_type in MANIFEST_TYPES | INDEX_TYPES and not is_attestation(entry) and (
                    entry.digest not in self._read_already):
                self._read_already.add(entry.digest)
                found = {**self._read(entry, depth - 1), **found}
        return found

    def _listed(self, descriptors: tuple[Descriptor, ...]) -> dict[Digest, CachedLayer]:
        """The layers that a manifest lists."""
        layers: dict[Digest, CachedLayer] = {}
        for descriptor in descriptors:
            if descriptor.media_type == EXPLANATIONS:
                self._explaining.append(descriptor)
            elif (layer := layer_of(descriptor)) is not None:
                layer_compression(str(self.place), descriptor)
                layers[descriptor.digest] = layer
        return layers


def read_steps(place: ImportPlace, store: Store, registries: RegistryAccess) -> RemoteSteps:
    """Raises RegistryError, ImageError."""
    reference = place.reference
    if reference is None:
        from builder.registry.ocilayout import OciLayout

        layout = OciLayout(Path(place.path))
        return RemoteSteps(place, FromLayout(place.path), LayerSource(store, registries),
                           layout.find(place.tag, place.digest), layout.read_document)
    access = registries.insecure(reference.domain) if place.insecure else registries
    fetched = access.client.get_manifest(reference)

    def fetch(descriptor: Descriptor) -> bytes:
        return fetched.data if descriptor.digest == fetched.digest else access.document(reference, descriptor)

    return RemoteSteps(place, FromRegistry(str(reference)), LayerSource(store, access), fetched.descriptor, fetch)


class StepLayers:
    """Fetches what was found, once a layer of it is wanted: all of it, several at a time."""

    def __init__(self, found: Mapping[int, tuple[RemoteSteps, CachedLayer]], seen: Collection[int],
                 progress: Callable[[int], Progress], cancelled: threading.Event) -> None:
        """What was found for each vertex, and into which of it steps will look.

        `progress` gives what is told of a vertex' download.
        """
        self._found = found
        self._seen = seen
        self._progress = progress
        self._cancelled = cancelled
        self._lock = threading.Lock()
        self._futures: dict[int, Future[LayerId]] | None = None
        self._pool = ThreadPoolExecutor(_PARALLEL, "cache")

    def layer(self, vertex: int) -> LayerId:
        """The layer found for a vertex. Raises CacheUnreadable, Cancelled."""
        with self._lock:
            if self._futures is None:
                self._futures = {index: self._pool.submit(self._fetch, index) for index in self._found}
        return self._futures[vertex].result()

    def close(self) -> None:
        """Gives up what nobody waits for."""
        self._pool.shutdown(cancel_futures=True)

    def _fetch(self, vertex: int) -> LayerId:
        remote, layer = self._found[vertex]
        image = SourceImage(diff_ids=(layer.diff_id,), name=str(remote.place), digest=layer.blob.digest,
                            descriptors=(layer.blob,), origin=remote.origin)
        progress = self._progress(vertex)
        try:
            if vertex in self._seen:
                return remote.layers.ensure_layers(image, progress=progress, cancelled=self._cancelled)[0]
            return remote.layers.ensure_packed(image, progress=progress, cancelled=self._cancelled)
        except BuilderError as error:
            if self._cancelled.is_set():
                raise
            raise CacheUnreadable(str(remote.place), error) from error


def fetch_blob(remotes: Mapping[Digest, RemoteSteps], blob: Descriptor) -> None:
    """Makes the blob of a layer that a place knows part of the store. Raises ImageError, RegistryError."""
    remote = remotes.get(blob.digest)
    if remote is None:
        raise ImageError(f"blob {blob.digest} is neither in the store nor in a cache that was read")
    empty = ResolvedImage(name=str(remote.place), digest=blob.digest, config=decode_config(b"{}"), layers=(blob,),
                          origin=remote.origin)
    remote.layers.fetch_blob(empty, blob)


def _inline_steps(name: str, manifest: Manifest, config: bytes) -> dict[str, CachedLayer]:
    """What an image's own config tells of its layers."""
    try:
        inline = decode_json(config, dict[str, Any]).get(INLINE_KEY)
    except msgspec.DecodeError:
        inline = None
    if inline is None:
        return {}
    image = decode_config(config)
    times = [entry.created or "" for entry in image.history or () if not entry.empty_layer]
    layers = {}
    for descriptor, diff_id, created in zip(manifest.layers, image.rootfs.diff_ids or (), times, strict=False):
        layer_compression(name, descriptor)
        digest = parse_digest(descriptor.digest)
        layers[digest] = CachedLayer(DiffID(parse_digest(diff_id)), msgspec.structs.replace(
            descriptor, annotations={DIFF_ID: diff_id, CREATED: created}))
    return decode_steps(msgspec.json.encode(inline), layers)


def _bounded(descriptor: Descriptor) -> Descriptor:
    """Raises ImageError for a document that is too large to be one."""
    parse_digest(descriptor.digest)
    if not 0 <= descriptor.size <= _MAX_DOCUMENT:
        raise ImageError(f"the cache has a document of {descriptor.size} bytes")
    return descriptor
