"""OCI image layouts in a folder, as a place that images come from (`oci-layout://path:tag@digest`)."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

import msgspec

from builder.errors import ImageError
from builder.oci import (
    IMAGE_NAME,
    INDEX_TYPES,
    MANIFEST_TYPES,
    REF_NAME,
    Descriptor,
    Digest,
    decode_index,
    decode_json,
    parse_digest,
)
from builder.registry.verified import VerifiedStream
from builder.rooted.root import Root

_MAX_DOCUMENT = 4 << 20
_MAX_INDEX = 64 << 20


class NotALayout(ImageError):
    code = "not-a-layout"

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"`{path}` is not an OCI image layout: {why}")


class NotInLayout(ImageError):
    code = "not-in-layout"

    def __init__(self, path: Path, wanted: str, available: tuple[str, ...]) -> None:
        super().__init__(f"`{wanted}` is not in the OCI image layout `{path}`: not found",
                         notes=(f"it has: {', '.join(available) or 'nothing'}",))


class BlobMissing(ImageError):
    code = "blob-missing"

    def __init__(self, path: Path, digest: Digest, cause: str) -> None:
        super().__init__(f"blob {digest} is missing from the OCI image layout `{path}`", cause=cause)


class OciLayout:
    """A layout folder. Nothing in it is trusted: what is read is checked against digest and size."""

    def __init__(self, path: Path) -> None:
        """Raises NotALayout."""
        self.path = path
        self._root = Root(os.path.realpath(path))
        version = self._version()
        if not version.version.startswith("1."):
            raise NotALayout(path, f"its version is `{version.version}`, not 1.x")

    def descriptors(self) -> tuple[Descriptor, ...]:
        """The entries of index.json. Raises NotALayout."""
        try:
            return decode_index(self._read("index.json", _MAX_INDEX)).manifests
        except NotALayout:
            raise
        except ImageError as error:
            raise NotALayout(self.path, f"index.json: {error.cause}") from error

    def find(self, tag: str, digest: Digest | None = None) -> Descriptor:
        """The entry for a digest, else for a tag; without a tag `latest`, else the only one. Raises NotInLayout.

        A digest that the index does not list but that is a manifest's blob of the layout is found as well.
        """
        entries = self.descriptors()
        if digest is not None:
            listed = [e for e in entries if e.digest == digest]
            return listed[0] if listed else self._unlisted(digest)
        wanted = tag or "latest"
        for entry in entries:
            if wanted in _names(entry):
                return entry
        if not tag and len(entries) == 1:
            return entries[0]
        raise NotInLayout(self.path, wanted, tuple(n for e in entries for n in (_names(e)[:1] or (e.digest,))))

    def open_blob(self, descriptor: Descriptor) -> VerifiedStream:
        """A verifying stream of a blob. Raises BlobMissing. The caller closes it."""
        file = self._open_blob(descriptor.digest)
        return VerifiedStream(file, descriptor, f"{self.path}@{descriptor.digest}")

    def read_document(self, descriptor: Descriptor) -> bytes:
        """A manifest or config, whole and verified. Raises BlobMissing, DigestMismatch, SizeMismatch, NotALayout."""
        if descriptor.size > _MAX_DOCUMENT:
            raise NotALayout(self.path, f"a document of {descriptor.size} bytes")
        with self.open_blob(descriptor) as stream:
            return b"".join(iter(stream.read, b""))

    def _unlisted(self, digest: Digest) -> Descriptor:
        try:
            with self._open_blob(digest) as opened:
                data = opened.read(_MAX_DOCUMENT + 1)
        except BlobMissing:
            data = b""
        try:
            media_type = decode_json(data, _Typed).media_type
        except msgspec.DecodeError:
            media_type = ""
        if media_type not in MANIFEST_TYPES | INDEX_TYPES:
            raise NotInLayout(self.path, digest, tuple(e.digest for e in self.descriptors()))
        return Descriptor(media_type=media_type, digest=digest, size=len(data))

    def _open_blob(self, digest: Digest) -> BinaryIO:
        """Raises BlobMissing; ImageError for what is not a digest, as it would be some other file's name."""
        try:
            return self._open("blobs/" + parse_digest(digest).replace(":", "/"))
        except OSError as error:
            raise BlobMissing(self.path, digest, error.strerror or str(error)) from error

    def _open(self, name: str) -> BinaryIO:
        """A regular file of the folder; neither links, which could lead anywhere, nor pipes. Raises OSError."""
        fd = self._root.open(name)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "not a regular file", name)
        return open(fd, "rb")

    def _version(self) -> _Version:
        try:
            return decode_json(self._read("oci-layout", _MAX_DOCUMENT), _Version)
        except msgspec.DecodeError as error:
            raise NotALayout(self.path, f"oci-layout: {error}") from error

    def _read(self, name: str, limit: int) -> bytes:
        try:
            with self._open(name) as file:
                data = file.read(limit + 1)
        except OSError as error:
            raise NotALayout(self.path, f"{name}: {error.strerror}") from error
        if len(data) > limit:
            raise NotALayout(self.path, f"{name} has more than {limit} bytes")
        return data


class _Version(msgspec.Struct):
    version: str = msgspec.field(name="imageLayoutVersion")


class _Typed(msgspec.Struct):
    media_type: str = msgspec.field(default="", name="mediaType")


def _names(entry: Descriptor) -> tuple[str, ...]:
    """The names that an entry answers to: ref.name, which may be a whole reference, and containerd's."""
    names = [entry.annotations[key] for key in (REF_NAME, IMAGE_NAME) if entry.annotations.get(key)]
    tags = [name.rpartition(":")[2] for name in names if ":" in name]
    return tuple(dict.fromkeys(names + tags))
