"""Pushing a stored image: its blobs, several at a time, then its manifests, the root last and under its tag.

Blobs leave unhashed, for the registry has to check them: hashing here too takes as long as sending to the next machine.
One that it refuses is looked at, so that the error says whose copy is damaged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import IO, TYPE_CHECKING

from builder.errors import ImageError
from builder.images.tarball import FetchBlob, collect
from builder.oci import INDEX_TYPES, MANIFEST_TYPES, Descriptor, Digest
from builder.reference import Reference

if TYPE_CHECKING:
    from builder.registry.client import RegistryClient
    from builder.store import Store

_CONNECTIONS = 4
_CHUNK = 1 << 20
Sent = Callable[[Descriptor, bool], None]
"""(blob, whether it had to be sent), when a blob is done."""


def push_image(store: Store, client: RegistryClient, root: Descriptor, reference: Reference, *, fetch: FetchBlob,
               mount_from: Mapping[Digest, tuple[str, ...]], by_digest: bool = False,
               progress: Sent = lambda blob, sent: None) -> Digest:
    """Makes the image available under the reference (tag `latest` by default). Idempotent.

    `mount_from` names repositories of the same registry that may have a blob. A blob that neither the registry nor the
    store has is fetched first. Raises RegistryError, StoreError.
    """
    from builder.registry.errors import UnexpectedAnswer
    from builder.registry.upload import push_blob, push_manifest

    content = collect(store, root)
    documents = MANIFEST_TYPES | INDEX_TYPES

    def open_blob(blob: Descriptor) -> IO[bytes]:
        if not store.has_blob(blob.digest):
            fetch(blob)
        if store.blob_size(blob.digest) != blob.size:  # the registry would wait for the rest
            _prove(store, blob)
        return open(store.blob_path(blob.digest), "rb", buffering=0)

    def send(blob: Descriptor) -> None:
        try:
            sent = push_blob(client, reference, blob, lambda: open_blob(blob), mount_from.get(blob.digest, ()))
        except UnexpectedAnswer:
            _prove(store, blob)
            raise
        progress(blob, sent)

    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        sending = [pool.submit(send, blob) for blob in content.blobs if blob.media_type not in documents]
        try:
            for done in as_completed(sending):
                done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    manifests = [blob for blob in content.blobs if blob.media_type in documents]
    for manifest in reversed(manifests[1:]):
        pinned = Reference(reference.domain, reference.repository)
        push_manifest(client, pinned, store.read_blob(manifest.digest), manifest.media_type)
    target = Reference(reference.domain, reference.repository, "" if by_digest else reference.tag or "latest")
    return push_manifest(client, target, store.read_blob(root.digest), root.media_type)


def _prove(store: Store, blob: Descriptor) -> None:
    """Raises BlobDamaged, or ImageError for a descriptor of another size, unless the blob is what its descriptor says.

    One that the store does not have is no matter.
    """
    if not store.has_blob(blob.digest):
        return
    with store.open_blob(blob.digest) as reader:
        while reader.read(_CHUNK):
            pass
        if reader.size != blob.size:
            raise ImageError(f"blob {blob.digest} has {reader.size} bytes, not {blob.size} as its manifest says")
