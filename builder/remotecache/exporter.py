"""Writing step caches: a document of keys and the layer blobs, as an OCI manifest in a registry or a layout folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from builder.cache.document import CREATED, DIFF_ID, MEDIA_TYPE, CachedLayer, encode_steps
from builder.errors import BuilderError
from builder.golang.times import rfc3339
from builder.images.assemble import exported_descriptor
from builder.images.documents import index_bytes, manifest_bytes
from builder.images.layerblobs import layer_blob
from builder.images.push import push_image
from builder.images.tarball import REF_NAME, FetchBlob, remove_unreachable, write_folder
from builder.oci import Compression, Descriptor, DiffID, MediaType
from builder.registry.access import RegistryAccess
from builder.remotecache.explanations import MEDIA_TYPE as EXPLANATIONS
from builder.remotecache.explanations import Explanation, encode_explanations
from builder.remotecache.locations import ExportPlace

if TYPE_CHECKING:
    from builder.store import Store
    from builder.store.layers import LayerId

class CacheNotWritten(BuilderError):
    code = "cache-not-written"

    def __init__(self, path: str, error: OSError) -> None:
        place = os.fsdecode(error.filename) if error.filename else path
        why = (error.strerror or str(error)).lower()
        super().__init__(f"cannot write the cache to `{path}`", cause=f"{place}: {why}")


Say = Callable[[str], None]
"""Told what was done."""


def packed(store: Store, place: ExportPlace, layer: LayerId) -> CachedLayer:
    """The layer as a blob of the place's form, or in a form that there is already. Raises StoreError."""
    info = store.layer_info(layer)
    diff_id = info.diff_id
    if diff_id is not None and not place.force_compression:
        for compression in (place.form.compression, *Compression):
            if blob := store.layer_blob(diff_id, compression):
                return _described(diff_id, blob, info.created)
    made = layer_blob(store, layer, place.form.compression, level=place.form.level)
    return _described(made.diff_id, made.descriptor, info.created)


def write_steps(place: ExportPlace, steps: Mapping[str, CachedLayer], explanations: Iterable[Explanation],
                store: Store, registries: RegistryAccess, *, fetch: FetchBlob, say: Say) -> Descriptor:
    """Puts the steps at the place, instead of those that were there; the manifest's descriptor.

    `fetch` brings blobs of layers that only another cache has. Blobs that the place has are not sent again. Raises
    RegistryError, StoreError, ImageError, CacheNotWritten.
    """
    root = _manifest(place, steps, explanations, store)
    if place.reference is None:
        tagged = msgspec.structs.replace(root, annotations={REF_NAME: place.tag})
        try:
            write_folder(store, (tagged,), place.path, fetch=fetch)
            remove_unreachable(place.path)
        except OSError as error:
            raise CacheNotWritten(place.path, error) from error
    else:
        access = registries.insecure(place.reference.domain) if place.insecure else registries
        push_image(store, access.client, root, place.reference, fetch=fetch, mount_from={},
                   progress=lambda blob, sent: say(f"writing {blob.digest}") if sent else None)
    return root


def _manifest(place: ExportPlace, steps: Mapping[str, CachedLayer], explanations: Iterable[Explanation],
              store: Store) -> Descriptor:
    oci = place.oci_mediatypes
    config = _document(store, MEDIA_TYPE, encode_steps(steps))
    layers = {layer.blob.digest: _listed(layer, oci=oci) for _, layer in sorted(steps.items())}
    blobs = [*layers.values(), _document(store, EXPLANATIONS, encode_explanations(explanations))]
    if place.image_manifest:
        return _document(store, MediaType.OCI_MANIFEST, manifest_bytes(config, blobs, {}, oci=True))
    data = index_bytes((*blobs, config), {}, oci=oci)
    return _document(store, MediaType.OCI_INDEX if oci else MediaType.DOCKER_LIST, data)


def _document(store: Store, media_type: str, data: bytes) -> Descriptor:
    return Descriptor(media_type=media_type, digest=store.put_blob(data), size=len(data))


def _listed(layer: CachedLayer, *, oci: bool) -> Descriptor:
    return msgspec.structs.replace(exported_descriptor(layer.blob, oci=oci), annotations=layer.blob.annotations)


def _described(diff_id: DiffID, blob: Descriptor, created: float) -> CachedLayer:
    """The layer with what an importer needs to know of it in its descriptor."""
    annotations = {DIFF_ID: diff_id, CREATED: rfc3339(created)}
    return CachedLayer(diff_id, msgspec.structs.replace(blob, annotations=annotations))
