"""The seam between the solver and what a vertex does.

The solver asks for the key's parts, looks the key up, and only on a miss has the executor fill a layer. So an executor
must be cheap to create and to key, and `fill` must depend on nothing that is not in the parts (or is declared unkeyed
in `plan.vertices`).
"""

from __future__ import annotations

from typing import Protocol

from builder.cache.key import Parts
from builder.store.layers import StagedLayer


class OpExecutor(Protocol):
    def parts(self) -> Parts:
        """What the result depends on, by name; `cache.key` has the vocabulary. Raises BuilderError."""
        ...

    def lists(self) -> Parts:
        """The `.list` parts: what stands behind digests, to explain misses. Asked for only on a miss."""
        ...

    def fill(self, layer: StagedLayer, log: Log) -> None:
        """Makes the layer's files in `layer.diff`. Raises BuilderError; the caller throws the layer away then."""
        ...

    def close(self) -> None:
        """Gives back what `parts` may have taken. Called once, whether the key was found or not."""
        ...


class Log(Protocol):
    def __call__(self, stream: int, data: bytes) -> None:
        """Takes output of the step's process."""
        ...
