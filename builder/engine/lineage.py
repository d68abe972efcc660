"""What a vertex comes from: its parent, the image at the bottom, and the instruction behind its name."""

from __future__ import annotations

from builder.cache.key import LIST, Parts
from builder.plan.vertices import Plan, SourceContext, SourceImage, SourceInline, Vertex


def instruction_of(vertex: Vertex) -> str:
    """A vertex' name without its place in the stage: equal instructions of other builds have it too."""
    return vertex.name.split("] ", 1)[1] if vertex.name.startswith("[") and "] " in vertex.name else vertex.name


def is_internal(vertex: Vertex) -> bool:
    """Whether the vertex stands for no instruction of its own, but for files that one takes."""
    return isinstance(vertex.op, SourceContext | SourceInline)


def has_parent(vertex: Vertex) -> bool:
    """Whether the vertex' layer lies on the result of its first input."""
    known = getattr(vertex.op, "has_parent", None)
    return bool(vertex.inputs) if known is None else known


def parents(plan: Plan, index: int) -> list[int]:
    """The vertices that a vertex lies on, the nearest first."""
    found = []
    while has_parent(plan.vertices[index]):
        index = plan.vertices[index].inputs[0]
        found.append(index)
    return found


def base_parts(plan: Plan, index: int) -> Parts:
    """The image at the bottom of a vertex: explanations call it by its name."""
    for below in (index, *parents(plan, index)):
        op = plan.vertices[below].op
        if isinstance(op, SourceImage):
            return {f"base{LIST}": [op.name, op.digest, len(op.diff_ids)]}
    return {}
