"""What a vertex comes from: its parent, the image at the bottom, the files it takes; and its instruction."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from builder.cache.key import LIST, Parts
from builder.plan.vertices import (
    BindMount,
    CacheMount,
    Copy,
    CopySource,
    Plan,
    Run,
    SourceContext,
    SourceImage,
    SourceInline,
    Vertex,
)


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


def selection_of(mount: BindMount | CacheMount) -> Copy:
    """What a bind mount takes, said as a copy to `/m`: a directory's contents, or one file."""
    source = CopySource(input=0, paths=(posixpath.normpath(mount.source),), literal=True)
    return Copy(sources=(source,), destination="/m", has_parent=False)


def selections(vertex: Vertex) -> Iterator[tuple[CopySource, int, Copy]]:
    """The sources of a COPY or ADD, and mounts said as such; each with the input that it selects from."""
    match vertex.op:
        case Copy() as copy:
            for source in copy.sources:
                yield source, source.input, copy
        case Run(mounts=mounts):
            for mount in mounts:
                if isinstance(mount, BindMount | CacheMount) and mount.input is not None:
                    selection = selection_of(mount)
                    yield selection.sources[0], mount.input, selection


def words_taken(plan: Plan, index: int) -> tuple[str, ...]:
    """The paths and patterns by which all instructions together take files of a vertex."""
    return tuple(sorted({path for vertex in plan.vertices if index in vertex.inputs
                         for source, position, _ in selections(vertex) if vertex.inputs[position] == index
                         for path in source.paths}))
