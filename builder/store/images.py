"""Images: names for manifests and indexes, also visible to other tools in index.json."""

from __future__ import annotations

import time

import msgspec

from builder.errors import ImageError
from builder.oci import (
    IMAGE_NAME,
    INDEX_TYPES,
    MANIFEST_TYPES,
    REF_NAME,
    Descriptor,
    DiffID,
    Digest,
    Index,
    MediaType,
    decode_config,
    decode_index,
    decode_manifest,
    digest_of,
    encode,
)
from builder.reference import Reference
from builder.store import trace
from builder.store.blobs import BlobMissing, Blobs
from builder.store.database import Row
from builder.store.layout import write_file
from builder.store.locks import named_lock
from builder.store.state import reporting_full_disk

LOCAL_ORIGINS = frozenset({"built", "loaded", "imported", "tagged"})
"""Of images that no registry has a say in."""
RECOVERED = "recovered"
"""Origin of images that were found when the database was lost: it was in there."""


class ImageRow(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    descriptor: Descriptor
    """Of a manifest or an index."""
    origin: str
    """Where it came from: one of LOCAL_ORIGINS, RECOVERED, else the reference it was pulled from."""
    created: float
    """When the name was given to this manifest, seconds since the epoch."""

    @property
    def is_local(self) -> bool:
        """Whether it may be nowhere else to be had: GC never takes anything from it."""
        return self.origin in LOCAL_ORIGINS or self.origin == RECOVERED


class Reachable(msgspec.Struct):
    """What images are made of, as far as their documents are stored."""

    blobs: set[Digest]
    diff_ids: set[DiffID]


class Images(Blobs):
    def tag(self, name: str, descriptor: Descriptor, *, origin: str) -> None:
        """Gives the image a name, which another image may lose by it. Raises BlobMissing if there is no such manifest.

        Writes nothing where the name already stands for this manifest.
        """
        encoded = encode(msgspec.structs.replace(descriptor, annotations={}))
        row = self.db.row("SELECT descriptor, origin FROM images WHERE name=?", name)
        if not self.has_blob(descriptor.digest):
            raise BlobMissing(descriptor.digest)
        if row is not None and (bytes(row[0]), row[1]) == (encoded, origin):
            return
        with self.session.committing():
            if self.db.row("SELECT 1 FROM blobs WHERE digest=?", descriptor.digest) is None:
                raise BlobMissing(descriptor.digest)
            self.db.execute("INSERT OR REPLACE INTO images VALUES(?,?,?,?)", name, encoded, origin, time.time())
        trace.point("image-tagged")
        self.write_index()

    def untag(self, name: str) -> bool:
        """Takes the name away; what only it needed is left to GC. False if there was no such name."""
        if not self.db.execute("DELETE FROM images WHERE name=?", name):
            return False
        self.write_index()
        return True

    def get_image(self, name: str) -> ImageRow | None:
        row = self.db.row("SELECT name, descriptor, origin, created FROM images WHERE name=?", name)
        return None if row is None else _image(row)

    def images(self) -> list[ImageRow]:
        """All named images, the most recent first."""
        return [_image(row) for row in
                self.db.rows("SELECT name, descriptor, origin, created FROM images ORDER BY created DESC, name")]

    def reachable(self, *, local: bool = False) -> Reachable:
        """All that the named images, or the local ones of them, consist of.

        Documents that are missing or damaged end the search below them.
        """
        found = Reachable(set(), set())
        todo = [image.descriptor for image in self.images() if image.is_local or not local]
        while todo:
            descriptor = todo.pop()
            if descriptor.digest in found.blobs:
                continue
            found.blobs.add(descriptor.digest)
            try:
                todo += self._children(descriptor, found)
            except (ImageError, OSError):
                continue
        return found

    def index(self) -> bytes:
        """What index.json has to be."""
        return encode(Index(media_type=MediaType.OCI_INDEX, manifests=tuple(
            msgspec.structs.replace(image.descriptor, annotations=_annotations(image.name))
            for image in sorted(self.images(), key=lambda image: image.name))))

    def write_index(self) -> None:
        """Makes index.json say what the names are now."""
        # Under a lock: the last writer was also the last reader.
        with reporting_full_disk(self.root), named_lock(self.root, "index.json"):
            write_file(self.path("index.json"), self.index())

    def _children(self, descriptor: Descriptor, found: Reachable) -> tuple[Descriptor, ...]:
        if descriptor.media_type in INDEX_TYPES:
            return decode_index(self._document(descriptor.digest)).manifests
        if descriptor.media_type in MANIFEST_TYPES:
            manifest = decode_manifest(self._document(descriptor.digest))
            return (manifest.config, *manifest.layers)
        if descriptor.media_type in {MediaType.OCI_CONFIG, MediaType.DOCKER_CONFIG}:
            found.diff_ids.update(decode_config(self._document(descriptor.digest)).rootfs.diff_ids or ())
        return ()

    def _document(self, digest: Digest) -> bytes:
        """A verified blob, without pinning it or moving it aside: GC reads this way while it excludes all others."""
        with open(self.blob_path(digest), "rb") as file:
            data = file.read()
        if digest_of(data) != digest:
            raise ImageError(f"blob `{digest}` is damaged")
        return data


def _image(row: Row) -> ImageRow:
    name, descriptor, origin, created = row
    decoded = msgspec.json.decode(descriptor, type=Descriptor)
    return ImageRow(name=name, descriptor=decoded, origin=origin, created=created)


def _annotations(name: str) -> dict[str, str]:
    """As BuildKit's OCI exporter writes them: the whole name, and the tag alone."""
    try:
        tag = Reference.parse(name).tag
    except ImageError:
        tag = ""
    return {IMAGE_NAME: name} | ({REF_NAME: tag} if tag else {})
