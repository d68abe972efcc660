"""The way to registries for the rooms above: one client for all, made when the first request needs it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import msgspec

from builder.oci import INDEX_TYPES, MANIFEST_TYPES, Descriptor
from builder.reference import Reference
from builder.registry.quickhead import quick_head
from builder.registry.settings import RegistrySettings

if TYPE_CHECKING:
    from builder.registry.client import RegistryClient


class RegistryAccess:
    """Shared by resolving, pulling and pushing; safe for threads."""

    def __init__(self, settings: RegistrySettings | None = None) -> None:
        self.settings = settings or RegistrySettings()
        self._lock = threading.Lock()
        self._client: RegistryClient | None = None

    @property
    def client(self) -> RegistryClient:
        with self._lock:
            if self._client is None:
                from builder.registry.client import RegistryClient  # 80 ms that a build with nothing to fetch saves

                self._client = RegistryClient(self.settings)
            return self._client

    def head(self, reference: Reference, *, retry: bool) -> Descriptor:
        """What the tag names in its registry now. Raises RegistryError."""
        return quick_head(reference, self.settings) or self.client.head_manifest(reference, retry=retry)

    def document(self, reference: Reference, descriptor: Descriptor) -> bytes:
        """A manifest, index or config of the reference's repository, whole and verified. Raises RegistryError."""
        if descriptor.media_type in MANIFEST_TYPES | INDEX_TYPES:
            return self.client.get_manifest(
                Reference(reference.domain, reference.repository, digest=descriptor.digest)).data
        with self.client.open_blob(reference, descriptor) as stream:
            return b"".join(iter(stream.read, b""))

    def insecure(self, domain: str) -> RegistryAccess:
        """Access that also trusts this registry without TLS or with an unknown certificate."""
        widened = self.settings.insecure | {domain}
        return RegistryAccess(msgspec.structs.replace(self.settings, insecure=widened))
