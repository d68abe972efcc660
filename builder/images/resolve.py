"""From an image's name to its manifest, config and layer descriptors, for one platform.

Names that were built, loaded or tagged here mean the image in the store and never ask a registry. Names that were
pulled are asked for again with one HEAD, so that a moved tag is noticed; without an answer the stored image serves. A
digest never needs the network once it is stored. Documents that were fetched are kept: the next build works offline.
"""

from __future__ import annotations

import enum
import functools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from builder.errors import RegistryError, StoreError
from builder.images.errors import NotAnImage, NotInStore
from builder.images.manifest import Fetch, find_platform, manifest_type, platforms_of
from builder.oci import Descriptor, Digest, Platform
from builder.plan.vertices import FromLayout, FromRegistry, FromStore, ImageOrigin, ResolvedImage
from builder.reference import Reference
from builder.registry.access import RegistryAccess
from builder.store.images import LOCAL_ORIGINS

if TYPE_CHECKING:
    from builder.store import Store

MAX_DOCUMENT = 4 << 20

Note = Callable[[str], None]


class Pull(enum.StrEnum):
    """When a registry is asked. `docker build --pull` is ALWAYS."""

    MISSING = "missing"
    """For names that are not stored; for pulled ones whether there is another image by now, if the registry answers."""
    NEWER = "newer"
    """As MISSING, and also for names that were built or loaded here."""
    ALWAYS = "always"
    """For every name, and without an answer the build fails."""
    NEVER = "never"


class Resolver:
    """Resolves each name once in its lifetime; safe for threads."""

    def __init__(self, store: Store, registries: RegistryAccess, *, note: Note = lambda text: None) -> None:
        """`note` receives remarks for people, such as that a stored image stands in for an unreachable registry."""
        self._store = store
        self._registries = registries
        self._note = note
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._roots: dict[tuple[str, Pull], tuple[Descriptor, ImageOrigin]] = {}

    def resolve(self, reference: Reference, platform: Platform, *, pull: Pull = Pull.MISSING) -> ResolvedImage:
        """The image that the reference names. Raises RegistryError, ImageError, StoreError."""
        name, descriptor, origin, fetch = self._rooted(reference, pull)
        return self._describe(name, descriptor, platform, origin, fetch)

    def platforms(self, reference: Reference, *, pull: Pull = Pull.MISSING) -> tuple[Platform, ...]:
        """What the image is there for: the platforms of its index, or its only one. Raises as `resolve` does."""
        name, descriptor, _, fetch = self._rooted(reference, pull)
        return platforms_of(name, descriptor, lambda document: self._document(name, document, fetch))

    def _rooted(self, reference: Reference, pull: Pull) -> tuple[str, Descriptor, ImageOrigin, Fetch]:
        """The full name, what it stands for, and where its documents come from."""
        reference = reference.with_default_tag()
        name = str(reference)
        with self._one_at_a_time(name):
            root = self._roots.get((name, pull))
            if root is None:
                root = self._roots[name, pull] = self._root(reference, pull)
        descriptor, origin = root
        local = isinstance(origin, FromStore) or pull is Pull.NEVER
        fetch = self._nowhere(name) if local else functools.partial(self._registries.document, reference)
        return name, descriptor, origin, fetch

    def resolve_layout(self, path: str, tag: str, digest: Digest | None, platform: Platform) -> ResolvedImage:
        """The image in an OCI layout folder. Raises ImageError."""
        from pathlib import Path

        from builder.registry.ocilayout import OciLayout

        layout = OciLayout(Path(path))
        name = path + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
        return self._describe(name, layout.find(tag, digest), platform, FromLayout(path), layout.read_document)

    def _root(self, reference: Reference, pull: Pull) -> tuple[Descriptor, ImageOrigin]:
        """The descriptor that the reference stands for, stored, and where its layers are to be had."""
        origin = FromRegistry(str(reference))
        if reference.digest:
            known = self._stored_digest(reference)
            if known and pull is not Pull.ALWAYS:
                return known, origin
            if pull is Pull.NEVER:
                raise NotInStore(str(reference))
            return self._fetch_root(reference, reference), origin
        image = self._store.get_image(str(reference))
        if image is None and pull is Pull.NEVER:
            raise NotInStore(str(reference))
        if image is None:
            return self._fetch_root(reference, reference), origin
        is_local = image.origin in LOCAL_ORIGINS
        stored: tuple[Descriptor, ImageOrigin] = (image.descriptor, FromStore() if is_local else origin)
        if pull is Pull.NEVER or (pull is Pull.MISSING and is_local):
            return stored
        try:
            current = self._registries.head(reference, retry=pull is Pull.ALWAYS)
            if current.digest == image.descriptor.digest:
                return image.descriptor, origin
            pinned = msgspec.structs.replace(reference, tag="", digest=current.digest)
            return self._fetch_root(pinned, reference), origin
        except RegistryError as error:
            if pull is Pull.ALWAYS:
                raise
            if not is_local:
                self._note(f"using the stored `{reference.familiar}`: {error.message}")
            return stored

    def _fetch_root(self, wanted: Reference, name: Reference) -> Descriptor:
        fetched = self._registries.client.get_manifest(wanted)
        media_type = manifest_type(str(name), fetched.data, fetched.media_type)
        descriptor = Descriptor(media_type=media_type, digest=self._store.put_blob(fetched.data),
                                size=len(fetched.data))
        pinned = f"{name.name}@{name.digest}" if name.digest else str(name)
        self._store.tag(pinned, descriptor, origin=str(name))
        return descriptor

    def _stored_digest(self, reference: Reference) -> Descriptor | None:
        digest = reference.digest
        if digest is None or not self._store.has_blob(digest):
            return None
        try:
            data = self._store.read_blob(digest)
        except StoreError:
            return None
        return Descriptor(media_type=manifest_type(str(reference), data, ""), digest=digest, size=len(data))

    def _describe(self, name: str, root: Descriptor, platform: Platform, origin: ImageOrigin,
                  fetch: Callable[[Descriptor], bytes]) -> ResolvedImage:
        image = find_platform(name, root, platform, lambda descriptor: self._document(name, descriptor, fetch))
        return ResolvedImage(name=name, digest=image.descriptor.digest, config=image.config,
                             layers=image.manifest.layers, origin=origin)

    def _document(self, name: str, descriptor: Descriptor, fetch: Callable[[Descriptor], bytes]) -> bytes:
        """A manifest, index or config: from the store, else fetched and kept."""
        if descriptor.size > MAX_DOCUMENT:
            raise NotAnImage(name, f"a document of {descriptor.size} bytes")
        if self._store.has_blob(descriptor.digest):
            try:
                return self._store.read_blob(descriptor.digest)
            except StoreError:
                pass  # damaged: the store has moved it aside
        data = fetch(descriptor)
        self._store.put_blob(data)
        return data

    def _nowhere(self, name: str) -> Callable[[Descriptor], bytes]:
        def fetch(descriptor: Descriptor) -> bytes:
            raise NotInStore(name)

        return fetch

    def _one_at_a_time(self, name: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(name, threading.Lock())
