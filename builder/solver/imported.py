"""What a plan need not solve because a cache elsewhere has it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from builder.cache.document import CachedLayer
from builder.plan.vertices import FromRegistry, Plan, SourceImage
from builder.solver.lineage import has_parent
from builder.solver.ops.executor import OpExecutor
from builder.solver.portable import PortableStep
from builder.store.layers import LayerId

Fetch = Callable[[int], LayerId]
"""Brings the layer that was found for a vertex into the store. Raises BuilderError."""


class Imported(msgspec.Struct, frozen=True):
    """Of one plan: which vertices have a layer elsewhere, and which nobody needs then."""

    layers: Mapping[int, CachedLayer]
    skipped: frozenset[int]
    unseen: frozenset[int]
    """Images from registries that only lie below what was found: their layers are not even fetched."""
    blind: frozenset[int]
    """Vertices to be taken without a look at what they stand on, which is not there."""
    absent: frozenset[int]
    """Vertices whose layer nothing takes, neither a step nor an output: it is known by name and stays where it is."""
    fetch: Fetch
    works: Mapping[int, OpExecutor]
    """Works that were needed to find out; the solver goes on with them."""
    explain: Callable[[int], str]
    """Why nothing was found for a vertex, in words; "" where the caches know nothing like it."""

    def __contains__(self, vertex: int) -> bool:
        return vertex in self.layers


def found_layers(plan: Plan, steps: Sequence[PortableStep | None],
                 known: Mapping[str, CachedLayer]) -> dict[int, CachedLayer]:
    """The vertices whose key is `known`, but for those that are to run again, and what comes after them."""
    found: dict[int, CachedLayer] = {}
    again: set[int] = set()
    for index, (vertex, step) in enumerate(zip(plan.vertices, steps, strict=True)):
        if vertex.ignore_cache or not again.isdisjoint(vertex.inputs):
            again.add(index)
        elif step is not None and (layer := known.get(step.key)) is not None:
            found[index] = layer
    return found


def skipped_vertices(plan: Plan, outputs: Collection[int], found: Collection[int]) -> frozenset[int]:
    """The vertices that nothing needs when the layers of `found` need not be made; `outputs` are needed anyway.

    What lies below a layer is still needed: it is part of the file system, though perhaps an unseen one.
    """
    used = {needed for vertex in plan.vertices for needed in vertex.inputs}
    todo = [index for index in range(len(plan.vertices)) if index in outputs or index not in used]
    wanted: set[int] = set()
    while todo:
        index = todo.pop()
        if index in wanted:
            continue
        wanted.add(index)
        vertex = plan.vertices[index]
        todo += vertex.inputs if index not in found else vertex.inputs[:1] if has_parent(vertex) else ()
    return frozenset(range(len(plan.vertices))) - wanted


def seen_vertices(plan: Plan, skipped: Collection[int], found: Collection[int]) -> frozenset[int]:
    """The vertices whose files some step looks into, because it is not found and stands on them or takes from them."""
    todo = [needed for index, vertex in enumerate(plan.vertices) if index not in skipped and index not in found
            for needed in vertex.inputs]
    seen: set[int] = set()
    while todo:
        index = todo.pop()
        if index not in seen:
            seen.add(index)
            todo += [needed for needed in plan.vertices[index].inputs if needed not in skipped]
    return frozenset(seen)


def unseen_images(plan: Plan, skipped: Collection[int], seen: Collection[int]) -> frozenset[int]:
    """The images from registries that are needed, but that no step looks into."""
    return frozenset(index for index, vertex in enumerate(plan.vertices) if index not in seen and index not in skipped
                     and isinstance(vertex.op, SourceImage) and isinstance(vertex.op.origin, FromRegistry))


def blind_vertices(plan: Plan, skipped: Collection[int], unseen: Collection[int],
                   found: Collection[int]) -> frozenset[int]:
    """The vertices of `found` that take from what is skipped, or stand on an image that is unseen."""
    above = set(unseen)
    blind = set()
    for index, vertex in enumerate(plan.vertices):
        if not above.isdisjoint(vertex.inputs):
            above.add(index)
            blind.add(index)
        elif not set(skipped).isdisjoint(vertex.inputs):
            blind.add(index)
    return frozenset(blind & set(found))
