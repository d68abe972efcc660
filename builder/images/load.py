"""Image archives and layout folders become images of the store: what `docker save`, BuildKit and skopeo write.

The archive is read once, as a stream, compressed or not. Every file in it becomes a blob named by its own digest, so
nothing in it can end up outside or pass for something else; what no image refers to is left to GC. If there is an
`index.json` it counts (with names from `manifest.json` where it has none), else `manifest.json`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from builder.errors import ImageError
from builder.images.documents import manifest_bytes
from builder.images.errors import NotAnImage
from builder.images.manifest import MAX_DEPTH, find_platform, is_attestation, manifest_type
from builder.images.tarball import blob_name
from builder.layer.decompress import ByteSource, decompressor
from builder.layer.tarread import TarReader
from builder.oci import (
    IMAGE_NAME,
    INDEX_TYPES,
    MANIFEST_TYPES,
    REF_NAME,
    Descriptor,
    Digest,
    MediaType,
    decode_config,
    decode_index,
    decode_json,
    decode_manifest,
    digest_of,
    parse_digest,
)
from builder.platforms import host_platform
from builder.reference import Reference
from builder.registry.ocilayout import OciLayout

if TYPE_CHECKING:
    from builder.store import Store

_MAX_DOCUMENT = 64 << 20
_MAX_FILES = 100_000
_MAX_LINKS = 8
_FILE, _HARD_LINK, _SYMLINK = b"0", b"1", b"2"
_GZIP_MAGIC = b"\x1f\x8b"


class LoadedImage(msgspec.Struct, frozen=True, kw_only=True):
    descriptor: Descriptor
    names: tuple[str, ...]
    """The names it was given; empty for an archive that names none."""


class NotAnArchive(ImageError):
    code = "not-an-image-archive"

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"`{what}` is not an image archive: {why}")


def load_archive(store: Store, source: ByteSource, what: str = "-") -> tuple[LoadedImage, ...]:
    """Stores the images of an archive under the names that it gives them. Idempotent.

    Raises NotAnArchive, NotAnImage and other ImageErrors for damaged or hostile archives, StoreError.
    """
    with store.lease():
        files = _Files(store, what)
        files.read(source)
        return _name(store, tuple(_images(store, files)))


def load_folder(store: Store, layout: OciLayout) -> tuple[LoadedImage, ...]:
    """Stores the images of an OCI layout folder. Raises as `load_archive` does."""
    with store.lease():
        loaded = []
        copied: set[Digest] = set()
        for entry in layout.descriptors():
            _copy(store, layout, entry, copied)
            loaded.append(LoadedImage(descriptor=_plain(entry), names=_names_of(entry)))
        return _name(store, tuple(loaded))


class _Files:
    """The files of an archive by name, each a blob by now."""

    def __init__(self, store: Store, what: str) -> None:
        self._store = store
        self._what = what
        self._digests: dict[str, Digest] = {}
        self._links: dict[str, str] = {}

    def read(self, source: ByteSource) -> None:
        reader = TarReader(iter(decompressor(source, what=f"`{self._what}`")), f"`{self._what}`")
        for member in reader:
            name = _normal(os.fsdecode(member.name))
            if len(self._digests) + len(self._links) > _MAX_FILES:
                raise NotAnArchive(self._what, f"it holds more than {_MAX_FILES} files")
            if member.kind == _SYMLINK:
                self._links[name] = _normal(os.path.join(os.path.dirname(name), os.fsdecode(member.link)))
            elif member.kind == _HARD_LINK:
                self._links[name] = _normal(os.fsdecode(member.link))
            elif member.kind == _FILE and member.sparse is None:
                self._digests[name] = self._keep(name, reader)

    def __contains__(self, name: str) -> bool:
        return self._digest(name) is not None

    def digest(self, name: str) -> Digest:
        """Raises NotAnArchive for a file that is not there."""
        found = self._digest(_normal(name))
        if found is None:
            raise NotAnArchive(self._what, f"`{name}` is missing")
        return found

    def document(self, name: str) -> bytes:
        digest = self.digest(name)
        if self._store.blob_size(digest) > _MAX_DOCUMENT:
            raise NotAnArchive(self._what, f"`{name}` is too large")
        return self._store.read_blob(digest)

    def blob(self, digest: Digest) -> Digest:
        """The blob at its place in an OCI layout. Raises NotAnArchive if it is missing or another one."""
        name = blob_name(parse_digest(digest))
        if self.digest(name) != digest:
            raise NotAnArchive(self._what, f"`{name}` is not what its name says")
        return digest

    def refused(self, why: str) -> NotAnArchive:
        return NotAnArchive(self._what, why)

    def _digest(self, name: str) -> Digest | None:
        for _ in range(_MAX_LINKS):
            if name not in self._links:
                break
            name = self._links[name]
        return self._digests.get(name)

    def _keep(self, name: str, reader: TarReader) -> Digest:
        with self._store.stage_blob() as staged:
            for piece in reader.data():
                staged.file.write(piece)
            return staged.commit()


def _images(store: Store, files: _Files) -> Iterator[LoadedImage]:
    if "index.json" in files:
        tags = dict(_repo_tags(files)) if "manifest.json" in files else {}
        checked: dict[Digest, Digest | None] = {}
        for entry in decode_index(files.document("index.json")).manifests:
            config = _check(store, files, entry, checked)
            names = _names_of(entry) or tags.get(config, ())
            yield LoadedImage(descriptor=_plain(entry), names=names)
    elif "manifest.json" in files:
        for element in _docker_manifest(files):
            yield LoadedImage(descriptor=_from_docker(store, files, element), names=tuple(element.repo_tags or ()))
    else:
        raise files.refused("it has neither `index.json` nor `manifest.json`")


def _check(store: Store, files: _Files, entry: Descriptor, checked: dict[Digest, Digest | None],
           depth: int = 0) -> Digest | None:
    """Sees that at least one platform's image is whole; the digest of its config for an image that has only one.

    `checked` holds the answers so far: an index that lists another one twice, and so on, would have no end.
    """
    if entry.digest not in checked:
        if depth > MAX_DEPTH:
            raise NotAnImage(entry.digest, f"its indexes are nested more than {MAX_DEPTH} deep")
        checked[entry.digest] = _checked(store, files, entry, checked, depth)
    return checked[entry.digest]


def _checked(store: Store, files: _Files, entry: Descriptor, checked: dict[Digest, Digest | None],
             depth: int) -> Digest | None:
    data = _document(store, files, entry)
    if manifest_type(entry.digest, data, entry.media_type) not in INDEX_TYPES:
        image = find_platform(entry.digest, entry, host_platform(), lambda d: _document(store, files, d))
        for layer in image.manifest.layers:
            files.blob(layer.digest)
        return image.manifest.config.digest
    held = [child for child in decode_index(data).manifests
            if blob_name(parse_digest(child.digest)) in files and not is_attestation(child)]
    if not held:
        raise files.refused(f"it holds no platform of {entry.digest}")
    for child in held:
        _check(store, files, child, checked, depth + 1)
    return None


def _document(store: Store, files: _Files, descriptor: Descriptor) -> bytes:
    files.blob(descriptor.digest)
    data = _read_document(store, descriptor)
    if len(data) != descriptor.size:
        raise files.refused(f"{descriptor.digest} has {len(data)} bytes, not {descriptor.size}")
    return data


class _Element(msgspec.Struct, rename="pascal"):
    """One image of docker's manifest.json."""

    config: str
    layers: list[str] | None = None
    repo_tags: list[str] | None = None


def _docker_manifest(files: _Files) -> list[_Element]:
    try:
        return decode_json(files.document("manifest.json"), list[_Element])
    except msgspec.DecodeError as error:
        raise files.refused(f"manifest.json: {error}") from error


def _repo_tags(files: _Files) -> Iterator[tuple[Digest | None, tuple[str, ...]]]:
    for element in _docker_manifest(files):
        yield files.digest(element.config), tuple(element.repo_tags or ())


def _from_docker(store: Store, files: _Files, element: _Element) -> Descriptor:
    """A manifest for an image that has none of its own; the same image always gets the same one."""
    data = files.document(element.config)
    diff_ids = decode_config(data).rootfs.diff_ids or ()
    paths = element.layers or []
    if len(diff_ids) != len(paths):
        raise NotAnImage(element.config, f"{len(paths)} layers in the archive, {len(diff_ids)} in its config")
    layers = []
    for path, diff_id in zip(paths, diff_ids, strict=True):
        digest = files.digest(path)
        with open(store.blob_path(digest), "rb") as file:
            packed = file.read(2) == _GZIP_MAGIC
        if not packed and str(digest) != diff_id:
            raise NotAnImage(element.config, f"layer `{path}` is not what its config says")
        layers.append(Descriptor(media_type=MediaType.DOCKER_LAYER_GZIP if packed else MediaType.DOCKER_LAYER,
                                 digest=digest, size=store.blob_size(digest)))
    config = Descriptor(media_type=MediaType.DOCKER_CONFIG, digest=digest_of(data), size=len(data))
    manifest = manifest_bytes(config, layers, {}, oci=False)
    return Descriptor(media_type=MediaType.DOCKER_MANIFEST, digest=store.put_blob(manifest), size=len(manifest))


def _copy(store: Store, layout: OciLayout, descriptor: Descriptor, copied: set[Digest], depth: int = 0) -> None:
    """Copies a blob, and what it refers to, from a layout folder; what is in `copied` was."""
    digest = parse_digest(descriptor.digest)
    if digest in copied:
        return
    copied.add(digest)
    if depth > MAX_DEPTH:
        raise NotAnImage(digest, f"its indexes are nested more than {MAX_DEPTH} deep")
    if not store.has_blob(digest):
        with layout.open_blob(descriptor) as source, store.stage_blob() as staged:
            while chunk := source.read(1 << 20):
                staged.file.write(chunk)
            staged.commit(digest)
    if descriptor.media_type in INDEX_TYPES:
        for child in decode_index(_read_document(store, descriptor)).manifests:
            _copy(store, layout, child, copied, depth + 1)
    elif descriptor.media_type in MANIFEST_TYPES:
        manifest = decode_manifest(_read_document(store, descriptor))
        for child in (manifest.config, *manifest.layers):
            _copy(store, layout, child, copied, depth + 1)


def _read_document(store: Store, descriptor: Descriptor) -> bytes:
    if store.blob_size(descriptor.digest) > _MAX_DOCUMENT:
        raise NotAnImage(descriptor.digest, "the document is too large")
    return store.read_blob(descriptor.digest)


def _name(store: Store, images: tuple[LoadedImage, ...]) -> tuple[LoadedImage, ...]:
    """Tags the images; one without a name is kept under its digest."""
    named = []
    for image in images:
        names = tuple(str(Reference.parse(name).with_default_tag()) for name in image.names)
        for name in names or (image.descriptor.digest,):
            store.tag(name, image.descriptor, origin="loaded")
        named.append(msgspec.structs.replace(image, names=names))
    if not named:
        raise ImageError("the archive holds no image")
    return tuple(named)


def _names_of(entry: Descriptor) -> tuple[str, ...]:
    """containerd's name, else a `ref.name` that is more than a tag."""
    if name := entry.annotations.get(IMAGE_NAME):
        return (name,)
    name = entry.annotations.get(REF_NAME, "")
    return (name,) if ":" in name or "/" in name else ()


def _plain(entry: Descriptor) -> Descriptor:
    return msgspec.structs.replace(entry, annotations={})


def _normal(name: str) -> str:
    return os.path.normpath("/" + name).lstrip("/")
