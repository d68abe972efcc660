"""--manifest: an image of the store that many builds add to, one platform after the other."""

from __future__ import annotations

from collections.abc import Sequence

from builder.errors import ImageError
from builder.images.documents import index_bytes
from builder.oci import INDEX_TYPES, Descriptor, Index, MediaType, decode_index
from builder.platforms import normalize
from builder.reference import Reference
from builder.store import Store

_DOCKER = frozenset({MediaType.DOCKER_MANIFEST, MediaType.DOCKER_LIST})


class NotAList(ImageError):
    code = "not-a-list"

    def __init__(self, name: str) -> None:
        super().__init__(f"`{name}` is an image for one platform, not a list that others can be added to",
                         hint=f"name another list, or remove the image: builder rmi {name}")


def add_to_list(store: Store, name: Reference, manifests: Sequence[Descriptor]) -> None:
    """Adds manifests to the list of that name, each in place of one for its platform; a new list if there is none.

    Builds that add to one list at the same time wait for each other. Raises NotAList, StoreError.
    """
    with store.lock(f"list {name}"):
        known = store.get_image(str(name))
        if known is not None and known.descriptor.media_type not in INDEX_TYPES:
            raise NotAList(name.familiar)
        index = decode_index(store.read_blob(known.descriptor.digest)) if known else Index()
        new = [normalize(manifest.platform) for manifest in manifests if manifest.platform]
        kept = [entry for entry in index.manifests if entry.platform is None or normalize(entry.platform) not in new]
        entries = [*kept, *manifests]
        oci = not all(entry.media_type in _DOCKER for entry in entries)
        data = index_bytes(entries, index.annotations, oci=oci)
        store.tag(str(name), Descriptor(
            media_type=MediaType.OCI_INDEX if oci else MediaType.DOCKER_LIST,
            digest=store.put_blob(data), size=len(data)), origin="built")
