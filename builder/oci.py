"""OCI and Docker image documents as values.

Digest names compressed bytes, DiffID names an uncompressed layer tar, both `sha256:<hex>`. Documents decode
tolerantly (unknown fields are ignored); whatever is addressed by digest is kept as its raw bytes, because writing it
again would change the digest. Sources: OCI image-spec 1.1, docker-image-spec 1.3.
"""

from __future__ import annotations

import enum
import re
from typing import Any, NewType, TypeVar

import msgspec

from builder.errors import ImageError
from builder.hashing import sha256

T = TypeVar("T")
Digest = NewType("Digest", str)
DiffID = NewType("DiffID", str)

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def parse_digest(text: str) -> Digest:
    """`text` as a digest. Raises ImageError: only sha256 in lower-case hex is accepted, so it is safe in a path."""
    if not _DIGEST.fullmatch(text):
        raise ImageError(f"`{text}` is not a sha256 digest")
    return Digest(text)


def digest_of(data: bytes) -> Digest:
    return Digest("sha256:" + sha256(data).hexdigest())


class MediaType(enum.StrEnum):
    OCI_INDEX = "application/vnd.oci.image.index.v1+json"
    OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
    OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
    OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
    OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
    OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
    DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
    DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
    DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
    DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
    DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    DOCKER_LAYER_ZSTD = "application/vnd.docker.image.rootfs.diff.tar.zstd"


REF_NAME = "org.opencontainers.image.ref.name"
"""Annotation of an entry of a layout: its tag."""
IMAGE_NAME = "io.containerd.image.name"
"""Annotation of one: its name in full."""
INDEX_TYPES = frozenset({MediaType.OCI_INDEX, MediaType.DOCKER_LIST})
MANIFEST_TYPES = frozenset({MediaType.OCI_MANIFEST, MediaType.DOCKER_MANIFEST})


class Compression(enum.StrEnum):
    """How a layer blob is packed; the names are BuildKit's `compression=` values."""

    UNCOMPRESSED = "uncompressed"
    GZIP = "gzip"
    ZSTD = "zstd"


class BlobForm(msgspec.Struct, frozen=True):
    """How a layer is compressed."""

    compression: Compression
    level: int | None = None
    """None for the default."""


# Factories: `omit_defaults` then still writes the field, which the specification requires.
_TWO = (2).__int__
_LINUX = "linux".__str__


def _no_descriptors() -> tuple[Descriptor, ...]:
    return ()


class Platform(msgspec.Struct, frozen=True, omit_defaults=True):
    """An image's platform; written `os/arch[/variant]`."""

    architecture: str
    os: str = msgspec.field(default_factory=_LINUX)
    variant: str = ""
    os_version: str = msgspec.field(default="", name="os.version")
    os_features: tuple[str, ...] = msgspec.field(default=(), name="os.features")

    def __str__(self) -> str:
        return f"{self.os}/{self.architecture}" + (f"/{self.variant}" if self.variant else "")


class Descriptor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    annotations: dict[str, str] = {}


class LayerBlob(msgspec.Struct, frozen=True, kw_only=True):
    """A layer and its bytes in one compression."""

    descriptor: Descriptor
    diff_id: DiffID


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    schema_version: int = msgspec.field(default_factory=_TWO)
    media_type: str = ""
    config: Descriptor
    layers: tuple[Descriptor, ...] = msgspec.field(default_factory=_no_descriptors)
    annotations: dict[str, str] = {}


class Index(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    schema_version: int = msgspec.field(default_factory=_TWO)
    media_type: str = ""
    manifests: tuple[Descriptor, ...] = msgspec.field(default_factory=_no_descriptors)
    annotations: dict[str, str] = {}


class Healthcheck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """Durations are in nanoseconds; 0 means inherited."""

    test: tuple[str, ...] = ()
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class ContainerConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """The `config` object of an image: what a container of it starts with. None differs from empty as in Docker's."""

    user: str = ""
    exposed_ports: dict[str, dict[str, Any]] | None = None
    env: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    volumes: dict[str, dict[str, Any]] | None = None
    working_dir: str = ""
    labels: dict[str, str] | None = None
    stop_signal: str = ""
    args_escaped: bool = False
    healthcheck: Healthcheck | None = None
    on_build: tuple[str, ...] | None = None
    shell: tuple[str, ...] | None = None


class History(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    created: str | None = None
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


class RootFS(msgspec.Struct, frozen=True, kw_only=True):
    type: str = "layers"
    diff_ids: tuple[DiffID, ...] | None = ()


class ImageConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The image config document (`application/vnd.oci.image.config.v1+json`)."""

    created: str | None = None
    author: str = ""
    architecture: str = ""
    os: str = ""
    variant: str = ""
    os_version: str = msgspec.field(default="", name="os.version")
    os_features: tuple[str, ...] = msgspec.field(default=(), name="os.features")
    config: ContainerConfig = msgspec.field(default_factory=ContainerConfig)
    rootfs: RootFS = msgspec.field(default_factory=RootFS)
    history: tuple[History, ...] | None = None

    @property
    def platform(self) -> Platform:
        return Platform(self.architecture, self.os, self.variant, self.os_version, self.os_features)


def decode_config(data: bytes) -> ImageConfig:
    """Decodes an image config. Raises ImageError. `null` stands for an absent field, as Go writes it."""
    return _decode(data, ImageConfig, "image config")


def decode_manifest(data: bytes) -> Manifest:
    return _decode(data, Manifest, "image manifest")


def decode_index(data: bytes) -> Index:
    return _decode(data, Index, "image index")


def decode_json(data: bytes, kind: type[T]) -> T:
    """JSON from outside as a value. Raises msgspec.DecodeError, also for what is nested too deeply or is no UTF-8."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error


def encode(document: msgspec.Struct) -> bytes:
    """The JSON bytes of a document; the same value always gives the same bytes."""
    return msgspec.json.encode(document)


def _decode(data: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.convert(_without_nulls(decode_json(data, object)), kind, strict=False)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ImageError(f"not a valid {what}", cause=str(error)) from error


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_nulls(v) for v in value]
    return value
