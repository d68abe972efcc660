"""Pushing a stored image: its blobs, several at a time, then its manifests, the root last and under its tag."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, cast

from builder.export.layout import FetchBlob, collect
from builder.oci import INDEX_TYPES, MANIFEST_TYPES, Descriptor, Digest
from builder.reference import Reference

if TYPE_CHECKING:
    from builder.registry.client import RegistryClient
    from builder.store import Store

_CONNECTIONS = 4
Progress = Callable[[Descriptor, bool], None]
"""(blob, whether it had to be sent), when a blob is done."""


def push_image(store: Store, client: RegistryClient, root: Descriptor, reference: Reference, *, fetch: FetchBlob,
               mount_from: Mapping[Digest, tuple[str, ...]], by_digest: bool = False,
               progress: Progress = lambda blob, sent: None) -> Digest:
    """Makes the image available under the reference (tag `latest` by default). Idempotent.

    `mount_from` names repositories of the same registry that may have a blob. A blob that neither the registry nor the
    store has is fetched first. Raises RegistryError, StoreError.
    """
    from builder.registry.upload import push_blob, push_manifest

    content = collect(store, root)
    documents = MANIFEST_TYPES | INDEX_TYPES

    def open_blob(blob: Descriptor) -> IO[bytes]:
        if not store.has_blob(blob.digest):
            fetch(blob)
        return cast(IO[bytes], store.open_blob(blob.digest))

    def send(blob: Descriptor) -> None:
        sent = push_blob(client, reference, blob, lambda: open_blob(blob), mount_from.get(blob.digest, ()))
        progress(blob, sent)

    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        for done in [pool.submit(send, blob) for blob in content.blobs if blob.media_type not in documents]:
            done.result()
    manifests = [blob for blob in content.blobs if blob.media_type in documents]
    for manifest in reversed(manifests[1:]):
        pinned = Reference(reference.domain, reference.repository)
        push_manifest(client, pinned, store.read_blob(manifest.digest), manifest.media_type)
    target = Reference(reference.domain, reference.repository, "" if by_digest else reference.tag or "latest")
    return push_manifest(client, target, store.read_blob(root.digest), root.media_type)
