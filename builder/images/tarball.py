"""Stored images as OCI layouts, in a tar or a folder; with `manifest.json` the tar is one that `docker load` takes.

The tar is what containerd's exporter writes: sorted names, owner 0:0, time 0. Every blob is checked as it leaves the
store, on a second thread while the kernel copies it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from builder.errors import ImageError
from builder.images.documents import index_bytes
from builder.images.outfile import copy_between
from builder.layer import tarwrite
from builder.oci import (
    IMAGE_NAME,
    INDEX_TYPES,
    MANIFEST_TYPES,
    REF_NAME,
    Descriptor,
    Digest,
    decode_index,
    decode_manifest,
)
from builder.reference import Reference
from builder.rooted.named import open_folder
from builder.rooted.removing import remove
from builder.rooted.root import LIST, Directory

if TYPE_CHECKING:
    from builder.store import Store

CREATED = "org.opencontainers.image.created"
_BLOBS = ("blobs", "sha256")
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_CHUNK = 1 << 20

FetchBlob = Callable[[Descriptor], None]
"""Brings a blob into the store that is not there (a base layer that no step needed)."""


class BlobsOf(msgspec.Struct, frozen=True):
    """All that an image consists of, each blob once."""

    blobs: tuple[Descriptor, ...]
    manifests: tuple[tuple[Descriptor, Descriptor, tuple[Descriptor, ...]], ...]
    """(manifest, config, layers) of each platform."""


def collect(store: Store, root: Descriptor) -> BlobsOf:
    """Walks from an index or manifest to the last layer. Raises StoreError, ImageError."""
    blobs: dict[Digest, Descriptor] = {}
    manifests = []
    todo = [root]
    while todo:
        descriptor = todo.pop(0)
        if descriptor.digest in blobs:
            continue
        blobs[descriptor.digest] = descriptor
        if descriptor.media_type in INDEX_TYPES:
            todo += decode_index(store.read_blob(descriptor.digest)).manifests
        elif descriptor.media_type in MANIFEST_TYPES:
            manifest = decode_manifest(store.read_blob(descriptor.digest))
            manifests.append((descriptor, manifest.config, manifest.layers))
            todo += [manifest.config, *manifest.layers]
    return BlobsOf(tuple(blobs.values()), tuple(manifests))


def named(descriptor: Descriptor, names: Iterable[Reference], created: str) -> tuple[Descriptor, ...]:
    """The descriptor as index.json lists it: once for each name, or once without."""
    annotations = {CREATED: created} | descriptor.annotations
    entries = [{IMAGE_NAME: str(name), REF_NAME: _object(name)} for name in names] or [{}]
    return tuple(msgspec.structs.replace(descriptor, annotations=annotations | entry) for entry in entries)


def write_archive(store: Store, entries: tuple[Descriptor, ...], out: BinaryIO, *, docker: bool,
                  fetch: FetchBlob) -> None:
    """Writes the images of `entries` (of index.json) as a tar. `docker` adds manifest.json.

    Raises StoreError, ImageError and what `fetch` raises; what was written by then is no good.
    """
    contents = [collect(store, entry) for entry in _distinct(entries)]
    blobs = {blob.digest: blob for content in contents for blob in content.blobs}
    files = {"index.json": (index_bytes(entries, {}, oci=True, indent=False), 0o644), "oci-layout": (_LAYOUT, 0o444)}
    if docker:
        files["manifest.json"] = (_docker_manifest(entries, contents), 0o644)
    out.write(_header(tarwrite.DIRECTORY, "blobs/", 0o755) + _header(tarwrite.DIRECTORY, "blobs/sha256/", 0o755))
    with _Copier(store, fetch) as copier:
        for digest in sorted(blobs):
            size = copier.require(blobs[digest])
            out.write(_header(tarwrite.FILE, blob_name(digest), 0o444, size))
            copier.copy(digest, out)
            out.write(tarwrite.padding(size))
    for name, (data, mode) in sorted(files.items()):
        out.write(_header(tarwrite.FILE, name, mode, len(data)) + data + tarwrite.padding(len(data)))
    out.write(tarwrite.END)


def write_folder(store: Store, entries: tuple[Descriptor, ...], path: str, *, fetch: FetchBlob) -> None:
    """Puts the images into a layout folder, beside those that are there; an entry of the same name is replaced.

    Raises StoreError, ImageError, OSError and what `fetch` raises.
    """
    blobs = {blob.digest: blob for entry in _distinct(entries) for blob in collect(store, entry).blobs}
    names = {digest: digest.removeprefix("sha256:") for digest in blobs}
    with _alone(path, make=True) as folder:
        blobs_folder = _blobs_folder(folder, make=True)
        there = set(blobs_folder.names())
        missing = [digest for digest, name in names.items() if name not in there]
        with _Copier(store, fetch) as copier:
            for digest in missing:
                copier.require(blobs[digest])
                with _new_file(blobs_folder, f"{names[digest]}.partial") as file:
                    copier.copy(digest, file)
        for digest in missing:
            _rename(blobs_folder, f"{names[digest]}.partial", names[digest])
        tagged = [e if REF_NAME in e.annotations else _with(e, {REF_NAME: "latest"}) for e in entries]
        kept = [old for old in _existing(folder, path) if all(_name(old) != _name(new) for new in tagged)]
        _replace(folder, "oci-layout", _LAYOUT)
        _replace(folder, "index.json", index_bytes([*kept, *tagged], {}, oci=True, indent=False))


def remove_unreachable(path: str) -> None:
    """Deletes the blobs of a layout folder that nothing in its index.json leads to.

    Raises ImageError for a damaged index.json or manifest, and then deletes nothing; OSError.
    """
    with _alone(path) as folder:
        todo = list(_existing(folder, path))
        blobs_folder = _blobs_folder(folder)
        reached: set[str] = set()
        while todo:
            descriptor = todo.pop()
            name = descriptor.digest.removeprefix("sha256:")
            if name in reached:
                continue
            reached.add(name)
            if descriptor.media_type in INDEX_TYPES | MANIFEST_TYPES:
                with open(blobs_folder.open(name), "rb") as file:
                    data = file.read()
                if descriptor.media_type in INDEX_TYPES:
                    todo += decode_index(data).manifests
                else:
                    manifest = decode_manifest(data)
                    todo += [manifest.config, *manifest.layers]
        for name in blobs_folder.names():
            if name not in reached:
                remove(blobs_folder.fd, name)


@contextlib.contextmanager
def _alone(path: str, *, make: bool = False) -> Iterator[Directory]:
    """The folder, locked: of two that change it at once, one would lose what it wrote or relies on."""
    top = open_folder(path, make=0o777 if make else None)
    folder = Directory(os.open(".", LIST, dir_fd=top.fd))
    fcntl.flock(folder.fd, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        fcntl.flock(folder.fd, fcntl.LOCK_UN)


def _blobs_folder(folder: Directory, *, make: bool = False) -> Directory:
    for name in _BLOBS:
        if make:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=folder.fd)
        folder = folder.enter(name)
    return folder


def _new_file(folder: Directory, name: str) -> BinaryIO:
    """What has the name already gives way, and is not written to: the folder may be somebody else's too."""
    remove(folder.fd, name)
    return open(folder.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb")


def _rename(folder: Directory, name: str, target: str) -> None:
    os.replace(name, target, src_dir_fd=folder.fd, dst_dir_fd=folder.fd)


def blob_name(digest: Digest) -> str:
    return "blobs/" + digest.replace(":", "/")


def _docker_manifest(entries: tuple[Descriptor, ...], contents: list[BlobsOf]) -> bytes:
    """manifest.json: one element for each image, names in their short form. Raises ImageError for an index."""
    names: dict[Digest, list[str]] = {}
    for entry in entries:
        if entry.media_type in INDEX_TYPES:
            raise ImageError("a docker archive cannot hold an image for several platforms",
                             hint="type=oci can, or build one platform")
        found = names.setdefault(entry.digest, [])
        if name := entry.annotations.get(IMAGE_NAME):
            found.append(Reference.parse(name).familiar)
    return msgspec.json.encode([
        {"Config": blob_name(config.digest), "RepoTags": names[manifest.digest] or None,
         "Layers": [blob_name(layer.digest) for layer in layers]}
        for content in contents for manifest, config, layers in content.manifests
    ])


def _object(name: Reference) -> str:
    """What containerd calls the object of a reference: the tag, or the digest with its `@`."""
    return name.tag + (f"@{name.digest}" if name.digest else "")


def _header(kind: bytes, name: str, mode: int, size: int = 0) -> bytes:
    return tarwrite.header(kind, name.encode(), mode=mode, uid=0, gid=0, mtime=0, size=size)


class _Copier:
    """Copies blobs out of the store and proves them meanwhile: leaving the block raises BlobDamaged for a bad one."""

    def __init__(self, store: Store, fetch: FetchBlob) -> None:
        self._store = store
        self._fetch = fetch
        self._pool = ThreadPoolExecutor(1, "verify")
        self._checks: list[Future[None]] = []

    def require(self, blob: Descriptor) -> int:
        """Sees that the blob is stored; its size."""
        if not self._store.has_blob(blob.digest):
            self._fetch(blob)
        return self._store.blob_size(blob.digest)

    def copy(self, digest: Digest, out: BinaryIO) -> None:
        with open(self._store.blob_path(digest), "rb", buffering=0) as file:
            self._checks.append(self._pool.submit(self._verify, digest))  # which moves a damaged one out of the way
            copy_between(file, out)

    def __enter__(self) -> _Copier:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=error is not None)
        if error is None:
            for check in self._checks:
                check.result()

    def _verify(self, digest: Digest) -> None:
        with self._store.open_blob(digest) as reader:
            while reader.read(_CHUNK):
                pass


def _distinct(entries: Iterable[Descriptor]) -> list[Descriptor]:
    return list({entry.digest: entry for entry in entries}.values())


def _with(entry: Descriptor, annotations: dict[str, str]) -> Descriptor:
    return msgspec.structs.replace(entry, annotations=entry.annotations | annotations)


def _name(entry: Descriptor) -> tuple[str, str]:
    return entry.annotations.get(REF_NAME, ""), entry.annotations.get(IMAGE_NAME, "")


def _existing(folder: Directory, path: str) -> tuple[Descriptor, ...]:
    try:
        with open(folder.open("index.json"), "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return ()
    try:
        return decode_index(data).manifests
    except ImageError as error:
        raise ImageError(f"`{path}` has an index.json that is not an OCI index", cause=error.cause) from error


def _replace(folder: Directory, name: str, data: bytes) -> None:
    with _new_file(folder, f"{name}.partial") as file:
        file.write(data)
    _rename(folder, f"{name}.partial", name)
