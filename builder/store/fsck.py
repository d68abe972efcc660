"""Checking the state folder: does every row have its file, every file its row, and every blob its content?

Findings of kind LEFTOVER are what a killed process may leave behind; they take space and do no harm. All others are
damage: by other programs, by the disk, or by a power cut.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import os
import time
from collections.abc import Iterator

import msgspec

from builder.errors import ImageError
from builder.oci import IMAGE_NAME, decode_index, encode
from builder.store.database import Row, StoreDamaged, create
from builder.store.gc import collect_leftovers, orphans
from builder.store.images import RECOVERED
from builder.store.layers import INFO_FILE, LayerId, LayerInfo
from builder.store.store import Store

_DANGLING = "layer IS NOT NULL AND layer NOT IN (SELECT id FROM layers)"
_UNDOCUMENTED = "parts != '' AND parts NOT IN (SELECT hash FROM documents)"


class FindingKind(enum.StrEnum):
    INDEX = "index"
    BLOB = "blob"
    LAYER = "layer"
    RECORD = "record"
    IMAGE = "image"
    MOUNT = "mount"
    LEFTOVER = "leftover"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    kind: FindingKind
    subject: str
    """The digest, id, name or path in question."""
    message: str
    repaired: bool = False

    @property
    def is_damage(self) -> bool:
        return self.kind is not FindingKind.LEFTOVER


def fsck(store: Store, *, repair: bool = False) -> list[Finding]:
    """What is wrong, and with `repair` repaired: what cannot be restored is forgotten, so that it will be made anew."""
    try:
        verdict = store.db.check()
    except StoreDamaged as error:
        verdict = error.cause or "damaged"
    if verdict != "ok":
        if repair:
            rebuild_index(store)
        return [Finding(kind=FindingKind.INDEX, subject="index.db", message=verdict, repaired=repair)]
    check = _Check(store, repair)
    check.leftovers()
    check.blobs()
    check.layers()
    check.records()
    check.mounts()
    check.images()
    check.index_json()
    return check.findings


def rebuild_index(store: Store) -> None:
    """Makes a new index.db from what lies in the folders; only cache records and the list of packed layers are lost.

    The damaged file is put into damaged/. No other process may have the store open.
    """
    store.db.close()
    with store.session.deleting():
        for suffix in ("", "-wal", "-shm"):
            path = store.path("index.db" + suffix)
            if os.path.exists(path):
                os.rename(path, store.path("damaged", os.path.basename(path)))
        create(store.path("index.db"))
        with store.db.write() as transaction:
            transaction.many("INSERT INTO blobs VALUES(?,?,?,?)", _found_blobs(store))
            transaction.many("INSERT INTO layers VALUES(?,?,?,?,?,?,?,?)", _found_layers(store))
            transaction.many("INSERT INTO mounts VALUES(?,?,?,?)", _found_mounts(store))
            transaction.many("INSERT OR IGNORE INTO images VALUES(?,?,?,?)", _found_images(store))


def _found_blobs(store: Store) -> Iterator[Row]:
    with os.scandir(store.path("blobs", "sha256")) as entries:
        for entry in entries:
            if len(entry.name) == 64:
                info = entry.stat()
                yield f"sha256:{entry.name}", info.st_size, info.st_mtime, time.time()


def _found_layers(store: Store) -> Iterator[Row]:
    for name in os.listdir(store.path("layers")):
        path = store.path("layers", name, INFO_FILE)
        with contextlib.suppress(OSError, msgspec.DecodeError), open(path, "rb") as file:
            info = msgspec.json.decode(file.read(), type=LayerInfo)
            yield name, *msgspec.structs.astuple(info)[1:]


def _found_mounts(store: Store) -> Iterator[Row]:
    for name in os.listdir(store.path("mounts")):
        with contextlib.suppress(OSError, UnicodeDecodeError), open(store.path("mounts", name, "lock"), "rb") as file:
            yield name, file.read().decode(), os.fstat(file.fileno()).st_mtime, time.time()


def _found_images(store: Store) -> Iterator[Row]:
    with contextlib.suppress(OSError, ImageError), open(store.path("index.json"), "rb") as file:
        for descriptor in decode_index(file.read()).manifests:
            name = descriptor.annotations.get(IMAGE_NAME)
            if name:
                yield name, encode(msgspec.structs.replace(descriptor, annotations={})), RECOVERED, time.time()


class _Check:
    def __init__(self, store: Store, repair: bool) -> None:
        self.store = store
        self.repair = repair
        self.findings: list[Finding] = []

    def leftovers(self) -> None:
        with self.store.session.deleting():
            found = orphans(self.store) + self.store.session.dead()
        for path in found:
            self._report(FindingKind.LEFTOVER, os.path.relpath(path, self.store.root), "belongs to nothing")
        if self.repair and found:
            collect_leftovers(self.store)

    def blobs(self) -> None:
        for digest, size in self.store.db.rows("SELECT digest, size FROM blobs"):
            path = self.store.blob_path(digest)
            try:
                with open(path, "rb") as file:
                    found = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
            except FileNotFoundError:
                found = "nothing"
            if found != digest and self._still_there("blobs", "digest", digest):
                self._report(FindingKind.BLOB, digest, f"should be {size} bytes, but its file has {found}")
                if self.repair:
                    self.store.set_aside(digest, found)

    def layers(self) -> None:
        for (layer,) in self.store.db.rows("SELECT id FROM layers"):
            if not self.store.is_stored(layer) and self._still_there("layers", "id", layer):
                self._report(FindingKind.LAYER, layer, "its files are missing")
                if self.repair:
                    self.store.forget_layer(LayerId(layer), "damaged")

    def records(self) -> None:
        for key, layer in self.store.db.rows(f"SELECT key, layer FROM records WHERE {_DANGLING}"):
            self._report(FindingKind.RECORD, key, f"its layer `{layer}` is missing")
        for (key,) in self.store.db.rows(f"SELECT key FROM records WHERE {_UNDOCUMENTED}"):
            self._report(FindingKind.RECORD, key, "the parts of its key are missing")
        if self.repair:
            with self.store.db.write() as transaction:
                transaction.execute(f"UPDATE records SET layer=NULL, gone='damaged' WHERE {_DANGLING}")
                transaction.execute(f"UPDATE records SET parts='' WHERE {_UNDOCUMENTED}")

    def mounts(self) -> None:
        for name, id in self.store.db.rows("SELECT name, id FROM mounts"):
            if not os.path.isdir(self.store.path("mounts", name, "data")) and self._still_there("mounts", "name", name):
                self._report(FindingKind.MOUNT, name, f"the directory of cache mount `{id}` is missing")
                if self.repair:
                    self.store.remove_cache_mount(id)

    def images(self) -> None:
        """After `blobs`: names whose manifest is no more."""
        for image in self.store.images():
            digest = image.descriptor.digest
            if not os.path.exists(self.store.blob_path(digest)):
                self._report(FindingKind.IMAGE, image.name, f"its manifest `{digest}` is missing")
                if self.repair:
                    self.store.untag(image.name)

    def index_json(self) -> None:
        try:
            with open(self.store.path("index.json"), "rb") as file:
                found = file.read()
        except FileNotFoundError:
            found = b"" if self.store.images() else self.store.index()
        if found != self.store.index():
            self._report(FindingKind.IMAGE, "index.json", "does not say what the names of images are")
            if self.repair:
                self.store.write_index()

    def _report(self, kind: FindingKind, subject: str, message: str) -> None:
        self.findings.append(Finding(kind=kind, subject=subject, message=message, repaired=self.repair))

    def _still_there(self, table: str, column: str, item: str) -> bool:
        """Whether the row is there yet: another process may have pruned it, file and all, since it was listed."""
        with self.store.session.deleting():
            return bool(self.store.db.row(f"SELECT 1 FROM {table} WHERE {column}=?", item))
