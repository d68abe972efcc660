"""The config of a cache manifest, which carries a step cache to other machines: keys, and the layer blob of each.

Its form is that of BuildKit's `cacheconfig.v0` (cache/remotecache/v1 in its source), so that registries and tools know
it for what it is; the keys are of our own kind, so each of the two builders finds none of the other's. The diff id of a
layer is in the annotations of its descriptor, as containerd has it.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from builder.errors import ImageError
from builder.oci import Descriptor, DiffID, Digest, LayerBlob, decode_json, parse_digest

MEDIA_TYPE = "application/vnd.buildkit.cacheconfig.v0"
INLINE_KEY = "builder.cache.v0"
"""The field of an image's config that holds the document of an inline cache."""
DIFF_ID = "containerd.io/uncompressed"
CREATED = "buildkit/createdat"
"""Annotation of a layer: when its step was done, which the history of an image tells."""
_SHA256 = "sha256:"


class _Layer(msgspec.Struct):
    blob: str
    parent: int = -1
    """Of BuildKit's form: the layer below. None here, for a step's layer is all that its key stands for."""


class _Result(msgspec.Struct):
    layer: int


class _Record(msgspec.Struct):
    digest: str
    layers: tuple[_Result, ...] = ()


class _Document(msgspec.Struct):
    layers: tuple[_Layer, ...] = ()
    records: tuple[_Record, ...] = ()


def encode_steps(steps: Mapping[str, LayerBlob]) -> bytes:
    """The document that says which layer stands for which key; equal steps give equal bytes."""
    blobs = dict.fromkeys(steps[key].descriptor.digest for key in sorted(steps))
    position = {digest: at for at, digest in enumerate(blobs)}
    return msgspec.json.encode(_Document(
        tuple(map(_Layer, blobs)),
        tuple(_Record(_SHA256 + key, (_Result(position[steps[key].descriptor.digest]),)) for key in sorted(steps))))


def decode_steps(data: bytes, layers: Mapping[Digest, LayerBlob]) -> dict[str, LayerBlob]:
    """What the document says of `layers`, by key; what it says of others is passed over.

    Raises ImageError for what is no such document.
    """
    try:
        document = decode_json(data, _Document)
    except msgspec.DecodeError as error:
        raise ImageError("not a valid cache document", cause=str(error)) from error
    found: dict[str, LayerBlob] = {}
    for record in document.records:
        for result in record.layers[:1]:
            if not 0 <= result.layer < len(document.layers):
                raise ImageError(f"a cache document of {len(document.layers)} layers speaks of layer {result.layer}")
            layer = layers.get(Digest(document.layers[result.layer].blob))
            if layer is not None:
                found[record.digest.removeprefix(_SHA256)] = layer
    return found


def layer_of(descriptor: Descriptor) -> LayerBlob | None:
    """The layer that a cache manifest lists; None for a blob that does not say its diff id. Raises ImageError."""
    diff_id = descriptor.annotations.get(DIFF_ID)
    if diff_id is None:
        return None
    parse_digest(descriptor.digest)
    if descriptor.size < 0:
        raise ImageError(f"a descriptor of {descriptor.digest} has the size {descriptor.size}")
    return LayerBlob(descriptor=descriptor, diff_id=DiffID(parse_digest(diff_id)))
