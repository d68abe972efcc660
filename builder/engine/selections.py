"""What a plan's instructions take of their sources, said as copies."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from builder.plan.vertices import BindMount, CacheMount, Copy, CopySource, Plan, Run, Vertex


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
