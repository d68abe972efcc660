"""What the solver asks of caches on other machines (`builder.remotecache`): which results they have of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from builder.oci import DiffID
from builder.solver.ops.executor import OpExecutor
from builder.store.layers import LayerId


class RemoteResults(Protocol):
    """The results that remote caches have of one plan. Safe for threads."""

    @property
    def skipped(self) -> frozenset[int]:
        """Vertices that nothing needs, for the results that needed them are found."""
        ...

    @property
    def unfetched(self) -> Mapping[int, tuple[DiffID, ...]]:
        """Vertices whose files nothing reads: these layers are theirs, by name, and are not fetched."""
        ...

    @property
    def unkeyed(self) -> frozenset[int]:
        """Found vertices whose own cache key cannot be computed, for it needs inputs that are not fetched."""
        ...

    @property
    def executors(self) -> Mapping[int, OpExecutor]:
        """Those of vertices that the look-up has prepared; the solver uses them."""
        ...

    def fetch(self, vertex: int) -> LayerId | None:
        """Brings the layer of a vertex into the store; None if no cache has it. Raises BuilderError."""
        ...

    def explain(self, vertex: int) -> str:
        """Why no cache has the vertex, in words; "" if they know nothing like it."""
        ...
