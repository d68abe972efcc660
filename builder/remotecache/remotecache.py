"""A remote cache: its manifest, and its layers, which are fetched when they are wanted."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from builder.errors import BuilderError
from builder.images.manifest import Fetch
from builder.images.pull import LayerSource
from builder.oci import Descriptor, LayerBlob, decode_config
from builder.plan.vertices import FromLayout, FromRegistry, ImageOrigin, ResolvedImage, SourceImage
from builder.registry.access import RegistryAccess
from builder.remotecache.cachemanifest import CacheManifest
from builder.remotecache.explanations import Explanation
from builder.remotecache.locations import CacheImport
from builder.solver.events import Transfer

if TYPE_CHECKING:
    from builder.store import Store
    from builder.store.layers import LayerId


class CacheUnreadable(BuilderError):
    """A layer that a cache lists cannot be fetched."""

    code = "cache-unreadable"

    def __init__(self, name: str, error: BuilderError) -> None:
        super().__init__(f"cannot take a layer from the cache {name}", cause=error.message,
                         hint="rebuild without --cache-from, then export the cache again")


class RemoteCache:
    """A cache whose manifest was read; safe for threads."""

    def __init__(self, name: str, origin: ImageOrigin, layers: LayerSource, root: Descriptor, fetch: Fetch) -> None:
        """`layers` may have its own settings for the cache's registry. Raises RegistryError, ImageError."""
        self.name = name
        self._origin = origin
        self._source = layers
        self._manifest = CacheManifest(name, root, fetch)
        self._lock = threading.Lock()
        self._explanations: Mapping[str, Explanation] | None = None

    @property
    def layers(self) -> Mapping[str, LayerBlob]:
        """By key."""
        return self._manifest.layers

    def explanations(self) -> Mapping[str, Explanation]:
        """What the keys were made of, by key, as far as the cache says."""
        with self._lock:
            if self._explanations is None:
                self._explanations = self._manifest.fetch_explanations()
            return self._explanations

    def fetch(self, layer: LayerBlob, *, unpack: bool, progress: Transfer, cancelled: threading.Event) -> LayerId:
        """Brings a layer into the store, unpacked or as a blob. Raises CacheUnreadable, Cancelled."""
        image = SourceImage(diff_ids=(layer.diff_id,), name=self.name, digest=layer.descriptor.digest,
                            descriptors=(layer.descriptor,), origin=self._origin)
        try:
            if unpack:
                return self._source.ensure_layers(image, progress=progress, cancelled=cancelled)[0]
            return self._source.ensure_packed(image, progress=progress, cancelled=cancelled)
        except BuilderError as error:
            if cancelled.is_set():
                raise
            raise CacheUnreadable(self.name, error) from error

    def fetch_blob(self, blob: Descriptor) -> None:
        """Makes the blob of a layer part of the store. Raises ImageError, RegistryError."""
        self._source.fetch_blob(ResolvedImage(name=self.name, digest=blob.digest, config=decode_config(b"{}"),
                                              layers=(blob,), origin=self._origin), blob)


def open_cache(source: CacheImport, store: Store, registries: RegistryAccess) -> RemoteCache:
    """Raises RegistryError, ImageError."""
    reference = source.reference
    if reference is None:
        from builder.registry.ocilayout import OciLayout

        layout = OciLayout(Path(source.path))
        return RemoteCache(str(source), FromLayout(source.path), LayerSource(store, registries),
                           layout.find(source.tag, source.digest), layout.read_document)
    access = registries.insecure(reference.domain) if source.insecure else registries
    fetched = access.client.get_manifest(reference)

    def fetch(descriptor: Descriptor) -> bytes:
        return fetched.data if descriptor.digest == fetched.digest else access.document(reference, descriptor)

    return RemoteCache(str(source), FromRegistry(str(reference)), LayerSource(store, access), fetched.descriptor, fetch)
