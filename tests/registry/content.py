"""What to put into registries, and how to get it out again."""

from __future__ import annotations

import io
import json

import msgspec

from builder.oci import Descriptor, digest_of
from builder.reference import Reference
from builder.registry.client import RegistryClient
from builder.registry.settings import RegistrySettings
from builder.registry.upload import push_blob, push_manifest
from registry.servers import OCI_MANIFEST

QUICK = RegistrySettings(retry_delay=0.01, retries=3, max_wait=1)


def blob(data: bytes) -> Descriptor:
    return Descriptor(media_type="application/octet-stream", digest=digest_of(data), size=len(data))


def push(client: RegistryClient, domain: str, repository: str, tag: str, *blobs: bytes) -> tuple[Reference, bytes]:
    reference = Reference(domain, repository, tag)
    for data in (b"{}", *blobs):
        push_blob(client, reference, blob(data), lambda data=data: io.BytesIO(data))
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST,
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(b"{}"),
                           "size": 2},
                "layers": [msgspec.to_builtins(blob(data)) for data in blobs]}
    data = json.dumps(manifest).encode()
    push_manifest(client, reference, data, OCI_MANIFEST)
    return reference, data


def read_all(client: RegistryClient, reference: Reference, descriptor: Descriptor) -> bytes:
    with client.open_blob(reference, descriptor) as stream:
        return b"".join(iter(lambda: stream.read(1000), b""))
