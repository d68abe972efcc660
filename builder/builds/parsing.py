"""Parsing that is remembered: an unchanged Dockerfile costs no grammar, its instructions come from the store."""

from __future__ import annotations

import msgspec

from builder.hashing import sha256
from builder.language.instructions import Dockerfile
from builder.source import Source
from builder.store import Store
from builder.version import __version__


def parsed(store: Store, source: Source) -> Dockerfile:
    """What `parse` makes of the source. Raises DockerfileErrors, which are never remembered."""
    name = f"dockerfile+words {__version__} {sha256(msgspec.msgpack.encode(source)).hexdigest()}"
    known = store.recall(name)
    if known is not None:
        try:
            return msgspec.msgpack.decode(known, type=Dockerfile)
        except msgspec.DecodeError:
            pass  # of a version with other instructions: parse again
    from builder.language.parser import parse

    dockerfile = parse(source)
    store.remember(name, msgspec.msgpack.encode(dockerfile))
    return dockerfile
