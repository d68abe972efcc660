"""The seam between the solver and what a vertex does.

The solver asks for the key's parts, looks the key up, and only on a miss lets the work fill a layer. So a work must be
cheap to make and to key, and `fill` must depend on nothing that is not in the parts (or is declared unkeyed in
`plan.vertices`).
"""

from __future__ import annotations

from typing import Protocol

from builder.cache.key import Parts
from builder.store.layers import StagedLayer


class Work(Protocol):
    kind: str
    """The op's tag: part of the key."""

    def parts(self) -> Parts:
        """What the result depends on, by name; `cache.key` has the vocabulary. Raises BuilderError."""
        ...

    def manifest(self) -> list[tuple[str, str]]:
        """What stands behind a digest of many files among the parts, as (path, description) pairs; else empty.

        Asked for only when a record is made or a miss is explained."""
        ...

    def fill(self, layer: StagedLayer, log: Log) -> None:
        """Makes the layer's files in `layer.diff`. Raises BuilderError; the caller throws the layer away then."""
        ...


class Log(Protocol):
    def __call__(self, stream: int, data: bytes) -> None:
        """Takes output of the step's process."""
        ...
