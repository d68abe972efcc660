"""What must still be done of a plan when remote caches have some of its results."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from builder.plan.vertices import FromRegistry, Plan, SourceImage
from builder.remotecache.portable import PortableKey
from builder.solver.lineage import has_parent


def found_vertices(plan: Plan, keys: Sequence[PortableKey | None], known: Collection[str]) -> list[int]:
    """The vertices whose key is `known`, without those that are to run again, and what comes after them."""
    found: list[int] = []
    again: set[int] = set()
    for index, (vertex, key) in enumerate(zip(plan.vertices, keys, strict=True)):
        if vertex.ignore_cache or not again.isdisjoint(vertex.inputs):
            again.add(index)
        elif key is not None and key.key in known:
            found.append(index)
    return found


def skipped_vertices(plan: Plan, outputs: Collection[int], found: Collection[int]) -> frozenset[int]:
    """The vertices that nothing needs once the layers of `found` are there; `outputs` are needed anyway.

    What lies below a layer is still needed: it is part of the file system, though perhaps nothing reads it.
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


def read_vertices(plan: Plan, skipped: Collection[int], found: Collection[int]) -> frozenset[int]:
    """The vertices whose files some step reads, because it is not found and stands on them or copies from them."""
    todo = [needed for index, vertex in enumerate(plan.vertices) if index not in skipped and index not in found
            for needed in vertex.inputs]
    read: set[int] = set()
    while todo:
        index = todo.pop()
        if index not in read:
            read.add(index)
            todo += [needed for needed in plan.vertices[index].inputs if needed not in skipped]
    return frozenset(read)


def unread_images(plan: Plan, skipped: Collection[int], read: Collection[int]) -> frozenset[int]:
    """The images from registries that are needed, but whose files no step reads."""
    return frozenset(index for index, vertex in enumerate(plan.vertices) if index not in read and index not in skipped
                     and isinstance(vertex.op, SourceImage) and isinstance(vertex.op.origin, FromRegistry))


def unkeyed_vertices(plan: Plan, skipped: Collection[int], unread: Collection[int],
                     found: Collection[int]) -> frozenset[int]:
    """The vertices of `found` that copy from what is skipped, or stand on an image that is unread."""
    above = set(unread)
    unkeyed = set()
    for index, vertex in enumerate(plan.vertices):
        if not above.isdisjoint(vertex.inputs):
            above.add(index)
            unkeyed.add(index)
        elif not set(skipped).isdisjoint(vertex.inputs):
            unkeyed.add(index)
    return frozenset(unkeyed & set(found))
