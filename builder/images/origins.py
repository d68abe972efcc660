"""Where the blobs of pulled images came from: a registry gives them again, and need not be sent them again."""

from __future__ import annotations

from collections.abc import Callable

from builder.images.errors import LayerNotStored
from builder.images.manifest import images_of
from builder.images.pull import LayerSource
from builder.images.resolve import LOCAL_ORIGINS
from builder.oci import Descriptor, Digest
from builder.plan.vertices import FromRegistry, ImageOrigin, ResolvedImage
from builder.reference import Reference
from builder.store import Store


def blob_fetcher(store: Store, layers: LayerSource) -> Callable[[Descriptor], None]:
    """Brings a blob of some stored image back. The function raises LayerNotStored, RegistryError."""
    known: dict[Digest, ResolvedImage] = {}

    def fetch(blob: Descriptor) -> None:
        if not known:
            known.update(_pulled_layers(store))
        if blob.digest not in known:
            raise LayerNotStored("the image", blob.digest)
        layers.fetch_blob(known[blob.digest], blob)

    return fetch


def origin_of(store: Store, digest: Digest) -> ImageOrigin | None:
    """Where a layer of a stored image can be fetched again; None if no image with it came from a registry."""
    image = _pulled_layers(store).get(digest)
    return image.origin if image is not None else None


def neighbours(store: Store, target: Reference) -> dict[Digest, tuple[str, ...]]:
    """The blobs that were pulled from other repositories of the target's registry, which may be mounted from there."""
    found: dict[Digest, tuple[str, ...]] = {}
    for digest, image in _pulled_layers(store).items():
        assert isinstance(image.origin, FromRegistry)
        reference = Reference.parse(image.origin.reference)
        if reference.domain == target.domain and reference.repository != target.repository:
            found[digest] = (reference.repository,)
    return found


def _pulled_layers(store: Store) -> dict[Digest, ResolvedImage]:
    found: dict[Digest, ResolvedImage] = {}
    for row in store.images():
        if row.origin in LOCAL_ORIGINS:
            continue
        for image in images_of(row.name, row.descriptor, lambda d: store.read_blob(d.digest)):
            resolved = ResolvedImage(name=row.name, digest=image.descriptor.digest, config=image.config,
                                     layers=image.manifest.layers, origin=FromRegistry(row.origin))
            found |= {layer.digest: resolved for layer in image.manifest.layers}
    return found
