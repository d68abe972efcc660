"""Stored images become an archive: `save`, in docker's form or as an OCI layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from builder.images.errors import NotInStore
from builder.images.manifest import find_platform
from builder.images.pull import LayerSource, blob_fetcher
from builder.images.tarball import write_archive
from builder.oci import IMAGE_NAME, INDEX_TYPES, REF_NAME, Descriptor, Platform, decode_index
from builder.platforms import host_platform
from builder.reference import Reference

if TYPE_CHECKING:
    from builder.store import Store


def save_images(store: Store, names: Sequence[str], out: BinaryIO, layers: LayerSource, *, docker: bool = True,
                platform: Platform | None = None) -> None:
    """Writes the images, by name or digest, as one tar. Docker's form holds one platform of each (this machine's).

    Layers that were never needed here are fetched. Raises NotInStore, NoMatchingPlatform, StoreError, RegistryError.
    """
    entries: list[Descriptor] = []
    for name in names:
        image = store.get_image(name) or store.get_image(str(Reference.parse(name).with_default_tag()))
        if image is None:
            raise NotInStore(name)
        descriptor = image.descriptor
        found = find_platform(name, descriptor, platform or host_platform(), lambda d: store.read_blob(d.digest))
        if docker or platform or not _is_whole(store, descriptor):
            descriptor = found.descriptor
        entries.append(msgspec.structs.replace(descriptor, annotations=_annotations(image.name)))
    write_archive(store, tuple(entries), out, docker=docker, fetch=blob_fetcher(store, layers))


def _is_whole(store: Store, descriptor: Descriptor) -> bool:
    """Whether every platform of an index is here: pulling brings only the one that was asked for."""
    if descriptor.media_type not in INDEX_TYPES:
        return True
    return all(store.has_blob(entry.digest) for entry in decode_index(store.read_blob(descriptor.digest)).manifests)


def _annotations(name: str) -> dict[str, str]:
    """None for an image that is only known by its digest."""
    if name.startswith("sha256:"):
        return {}
    return {IMAGE_NAME: name, REF_NAME: Reference.parse(name).tag or name.partition("@")[2]}
