"""A plan with the portable keys of its vertices, and what remote caches have of it: the solver's RemoteResults."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from builder.cache.key import Parts
from builder.oci import DiffID
from builder.plan.vertices import Copy, MakeDirectory, Plan, Run
from builder.remotecache.explanations import Explanation, masked, why_missed
from builder.remotecache.portable import PortableKey
from builder.remotecache.remotecache import RemoteCache
from builder.solver.lineage import base_parts, instruction_of, parents
from builder.solver.ops.executor import OpExecutor
from builder.solver.results import Result, Snapshot

if TYPE_CHECKING:
    from builder.solver.vertex import Outcome
    from builder.store.layers import LayerId


class CachedPlan(msgspec.Struct, kw_only=True):
    """See RemoteResults; `watch` and `results` then say what became of the plan, to export it."""

    plan: Plan
    keys: Sequence[PortableKey | None]
    caches: Sequence[RemoteCache]
    executors: Mapping[int, OpExecutor]
    found: frozenset[int]
    skipped: frozenset[int]
    unfetched: Mapping[int, tuple[DiffID, ...]]
    unkeyed: frozenset[int]
    download: Callable[[int], LayerId]
    """Brings the layer of a found vertex into the store. Raises CacheUnreadable, Cancelled."""
    results: Mapping[int, Result] = {}
    """Once it is solved."""
    private: set[int] = msgspec.field(default_factory=set)
    """Vertices whose result is not what their key stands for, as a person finished them or files changed meanwhile:
    neither they nor what stands on them may be exported."""

    def fetch(self, vertex: int) -> LayerId | None:
        return self.download(vertex) if vertex in self.found else None

    def explain(self, vertex: int) -> str:
        key = self.keys[vertex]
        if key is None:
            return ""
        name = instruction_of(self.plan.vertices[vertex])
        others = {instruction_of(other) for other in self.plan.vertices}
        for cache in self.caches:
            if explanations := cache.explanations():
                why = why_missed(key.kind, self._all_parts(vertex, key), name, explanations, others)
                if why:
                    return f"{why}, compared with {cache.name}"
        return ""

    def watch(self, outcome: Outcome) -> None:
        """To be called with each vertex when it ended."""
        index, key = outcome.vertex, self.keys[outcome.vertex]
        if outcome.state == "mended" or (key is not None and index not in self.found and not key.holds()):
            self.private.add(index)

    def image_keys(self, output: int | None) -> dict[str, int]:
        """For an inline cache: keys of the image's steps, and how many of its layers lie below that of each."""
        found: dict[str, int] = {}
        for index, key in self.exported(output, all_steps=False):
            result = self.results.get(index)
            if isinstance(result, Snapshot):
                found[key.key] = len(result.layers) - 1
        return found

    def exported(self, output: int | None, *, all_steps: bool) -> list[tuple[int, PortableKey]]:
        """The vertices that a cache keeps: those of the image, or all that it is built from."""
        if output is None:
            return []
        chosen = {output, *parents(self.plan, output)}
        todo = list(chosen) if all_steps else []
        while todo:
            new = set(self.plan.vertices[todo.pop()].inputs) - chosen
            chosen |= new
            todo += new
        private = self._standing_on_private()
        return [(index, key) for index in sorted(chosen) if (key := self.keys[index]) is not None
                and index not in private and isinstance(self.plan.vertices[index].op, Run | Copy | MakeDirectory)]

    def explanation(self, index: int, key: PortableKey, created: float) -> Explanation:
        """What is kept beside a key, to say why a later build misses it."""
        return Explanation(key=key.key, kind=key.kind, name=instruction_of(self.plan.vertices[index]),
                           created=created, parts=self._all_parts(index, key))

    def _all_parts(self, index: int, key: PortableKey) -> Parts:
        """The parts of the key and what explains them; values of build args only as far as to tell a change."""
        return masked({**key.parts, **key.lists(), **base_parts(self.plan, index)})

    def _standing_on_private(self) -> set[int]:
        found = set(self.private)
        for index, vertex in enumerate(self.plan.vertices):
            if not found.isdisjoint(vertex.inputs):
                found.add(index)
        return found
