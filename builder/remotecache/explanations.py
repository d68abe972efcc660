"""What the keys of a cache were made of: a blob beside its layers, read only to say why a step was not found in it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping

import msgspec
import zstandard

from builder.cache.differences import MASK
from builder.cache.explain import Earlier, explain, nearest
from builder.cache.key import LIST, Parts, decode, encode
from builder.errors import ImageError

MEDIA_TYPE = "application/vnd.builder.cache.explanations.v0+json.zstd"
_MOST_ROWS = 20_000
"""Of a list of files: a longer one is left out."""
_MAX_BYTES = 256 << 20


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What was known of one step."""

    key: str
    kind: str
    name: str
    created: float
    parts: Parts


def encode_explanations(explanations: Iterable[Explanation]) -> bytes:
    """A blob; equal explanations give equal bytes."""
    rows = [msgspec.to_builtins(msgspec.structs.replace(one, parts=_bounded(one.parts)))
            for one in sorted(explanations, key=lambda one: one.key)]
    return zstandard.ZstdCompressor(level=9).compress(encode(rows))


def decode_explanations(data: bytes) -> dict[str, Explanation]:
    """By key. Raises ImageError for what is no such blob."""
    try:
        if zstandard.frame_content_size(data) > _MAX_BYTES:  # as much would be allocated, whatever limit is given
            raise ValueError(f"they say that they have more than {_MAX_BYTES} bytes")
        text = zstandard.ZstdDecompressor().decompress(data, max_output_size=_MAX_BYTES)
        rows = msgspec.convert(decode(text), list[Explanation])
    except (zstandard.ZstdError, msgspec.ValidationError, ValueError, RecursionError) as error:
        raise ImageError("the explanations of a cache are damaged", cause=str(error)) from error
    return {row.key: row for row in rows}


def masked(parts: Parts) -> Parts:
    """Parts that may leave the machine: a build arg may be what nobody should read.

    16 bits of a digest take the place of its value: enough to tell a change, too little to guess the value from.
    """
    args = set(parts.get("args.list", ()))
    if not args:
        return parts
    return {**parts, "env": [[name, MASK + hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()[:4]]
                             if name in args else [name, value] for name, value in parts["env"]]}


def why_missed(kind: str, parts: Parts, name: str, known: Mapping[str, Explanation],
               others: Collection[str] = ()) -> str:
    """How the step differs from the nearest one that a cache knows; "" if it knows none that is like it.

    `others` are the names of the other steps of the build. A cache may say anything: where its parts have not the shape
    of a key's, it explains nothing.
    """
    try:
        earlier = nearest(kind, parts, name, (
            Earlier(one.parts, lambda rows: rows if isinstance(rows, list) else None, one.name, one.created)
            for one in known.values() if one.kind == kind), others)
        why = "" if earlier is None else explain(parts, earlier)
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return ""
    return why.encode("utf-8", "replace").decode()  # JSON knows halves of characters


def _bounded(parts: Parts) -> Parts:
    return {name: value for name, value in parts.items() if not name.endswith(LIST) or len(value) <= _MOST_ROWS}
