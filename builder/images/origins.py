"""Where the blobs of pulled images came from: a registry gives them again, and need not be sent them again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from builder.images.errors import LayerNotStored
from builder.oci import Descriptor, Digest
from builder.plan.vertices import FromLayout, FromRegistry, FromStore, ImageOrigin, ResolvedImage
from builder.reference import Reference
from builder.registry.access import RegistryAccess

if TYPE_CHECKING:
    from builder.store import Store


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...
    def close(self) -> None: ...


class Origins:
    """Opens blobs where they come from; safe for threads."""

    def __init__(self, store: Store, registries: RegistryAccess) -> None:
        self._store = store
        self._registries = registries

    def open_blob(self, name: str, origin: ImageOrigin, descriptor: Descriptor) -> Readable:
        """A stream of a blob that the store lacks. Its digest is not checked. Raises LayerNotStored, RegistryError."""
        match origin:
            case FromRegistry(reference=reference):
                return self._registries.client.open_blob(Reference.parse(reference), descriptor, hashing=False)
            case FromLayout(path=path):
                from pathlib import Path

                from builder.registry.ocilayout import OciLayout

                return OciLayout(Path(path)).open_blob(descriptor)
            case FromStore():
                image = pulled_layers(self._store).get(descriptor.digest)
                if image is None:
                    raise LayerNotStored(name, descriptor.digest)
                return self.open_blob(name, image.origin, descriptor)


def neighbours(layers: Mapping[Digest, ResolvedImage], target: Reference) -> dict[Digest, tuple[str, ...]]:
    """The layers that come from other repositories of the target's registry, which may be mounted from there."""
    found: dict[Digest, tuple[str, ...]] = {}
    for digest, image in layers.items():
        if isinstance(image.origin, FromRegistry):
            reference = Reference.parse(image.origin.reference)
            if reference.domain == target.domain and reference.repository != target.repository:
                found[digest] = (reference.repository,)
    return found


def pulled_layers(store: Store) -> dict[Digest, ResolvedImage]:
    """The layers of all stored images that came from registries, each with its image."""
    from builder.images.manifest import images_of
    from builder.store.images import LOCAL_ORIGINS

    found: dict[Digest, ResolvedImage] = {}
    for row in store.images():
        if row.origin in LOCAL_ORIGINS:
            continue
        for image in images_of(row.name, row.descriptor, lambda d: store.read_blob(d.digest)):
            resolved = ResolvedImage(name=row.name, digest=image.descriptor.digest, config=image.config,
                                     layers=image.manifest.layers, origin=FromRegistry(row.origin))
            found |= {layer.digest: resolved for layer in image.manifest.layers}
    return found
