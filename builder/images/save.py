"""Stored images become an archive: `save`, in docker's form or as an OCI layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from builder.export.layout import IMAGE_NAME, REF_NAME, write_archive
from builder.images.errors import NotInStore
from builder.images.manifest import find_platform
from builder.images.pull import LayerSource
from builder.oci import INDEX_TYPES, Descriptor, Platform
from builder.plan.vertices import FromRegistry, FromStore, ResolvedImage
from builder.platforms import host_platform
from builder.reference import Reference

if TYPE_CHECKING:
    from builder.store import Store


def save_images(store: Store, names: Sequence[str], out: BinaryIO, layers: LayerSource, *, docker: bool = True,
                platform: Platform | None = None) -> None:
    """Writes the images as one tar. Docker's form holds one platform of each (by default this machine's).

    Layers that were never needed here are fetched. Raises NotInStore, NoMatchingPlatform, StoreError, RegistryError.
    """
    entries: list[Descriptor] = []
    origins: dict[str, ResolvedImage] = {}
    for name in names:
        reference = Reference.parse(name).with_default_tag()
        image = store.get_image(str(reference))
        if image is None:
            raise NotInStore(str(reference))
        descriptor = image.descriptor
        found = find_platform(name, descriptor, platform or host_platform(), lambda d: store.read_blob(d.digest))
        if descriptor.media_type in INDEX_TYPES and (docker or platform):
            descriptor = found.descriptor
        origin = FromStore() if "/" not in image.origin else FromRegistry(image.origin)
        origins |= {layer.digest: ResolvedImage(name=name, digest=found.descriptor.digest, config=found.config,
                                                layers=found.manifest.layers, origin=origin)
                    for layer in found.manifest.layers}
        entries.append(msgspec.structs.replace(
            descriptor, annotations={IMAGE_NAME: str(reference), REF_NAME: reference.tag or str(reference.digest)}))
    write_archive(store, tuple(entries), out, docker=docker,
                  fetch=lambda blob: layers.fetch_blob(origins[blob.digest], blob))
