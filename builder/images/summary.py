"""What listings of images consist of, as values."""

from __future__ import annotations

import msgspec

from builder.oci import Digest


class ImageSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One name of an image in the store, or an image without a name."""

    name: str
    """Familiar reference with its tag (`app:dev`); "" for an image without a name."""
    id: Digest
    """Of the config of the platform that this machine runs, or of the only one."""
    digest: Digest
    """Of the manifest, or of the index above several platforms."""
    created: float
    """From its config, seconds since the epoch; 0 if it does not say."""
    size: int
    """Bytes of its layers, uncompressed, as far as known."""
    labels: dict[str, str] = {}
    platforms: tuple[str, ...] = ()


class HistoryRow(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of an image's history."""

    layer: str = ""
    """Diff id of the layer that the entry made; "" where it made none."""
    created: float = 0.0
    created_by: str = ""
    size: int = 0
    comment: str = ""


class RemovedImage(msgspec.Struct, frozen=True, kw_only=True):
    """What `rmi` did."""

    untagged: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    """Digests that no name stands for any more; GC frees their space."""
