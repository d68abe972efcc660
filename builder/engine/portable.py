"""Keys of steps that mean the same on every machine, made of a plan and its sources alone, before anything runs.

A step's own key (`cache.key`) holds what the layers below look like, in ids and fingerprints that are good on one
machine. A portable key holds how they come to be: the op and the keys of its inputs, down to the diff ids of the base
image, the SHA-256 of local files, and the content of what URLs and git references name now. So a cache elsewhere can be
asked for the last step of a build without doing the first one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from builder.cache.key import CacheKey, Parts, key_of, kind_of, op_parts
from builder.engine.ops.mounts import selection_of
from builder.engine.ops.work import Work
from builder.engine.resources import Resources
from builder.errors import BuilderError
from builder.layer.selection import select
from builder.layer.taken import ContentDigests, Taken
from builder.layer.tree import FileTree
from builder.plan.vertices import BindMount, CacheMount, Copy, HostMount, Plan, Run, SourceContext, Vertex

_FORMAT = 1


def portable_keys(plan: Plan, trees: Mapping[str, FileTree], contents: ContentDigests,
                  sources: Mapping[int, Work]) -> list[CacheKey | None]:
    """A key for each vertex; None for local files, and where none can be told.

    `contents` gives SHA-256 digests. `sources` are the works of the vertices whose content decides: URLs and git trees.
    What is wrong with a vertex is left to solving it.
    """
    keys: list[CacheKey | None] = []
    for index, vertex in enumerate(plan.vertices):
        try:
            keys.append(_key(plan, vertex, keys, trees, contents, sources.get(index)))
        except BuilderError:
            keys.append(None)
    return keys


def _key(plan: Plan, vertex: Vertex, keys: Sequence[CacheKey | None], trees: Mapping[str, FileTree],
         contents: ContentDigests, source: Work | None) -> CacheKey | None:
    op = vertex.op
    if isinstance(op, SourceContext):
        return None
    local = {position: trees[below.name] for position, needed in enumerate(vertex.inputs)
             if isinstance(below := plan.vertices[needed].op, SourceContext)}
    inputs = [None if position in local else keys[needed] for position, needed in enumerate(vertex.inputs)]
    if isinstance(op, Copy) and op.link and op.has_parent:
        inputs[0] = CacheKey("")  # which the layer does not look at
    if any(key is None and position not in local for position, key in enumerate(inputs)):
        return None
    parts = source.parts() if source is not None else op_parts(op)
    files: Parts = {}
    match op:
        case Copy(sources=taken):
            files = {str(number): _digest(msgspec.structs.replace(op, sources=(one,)), local[one.input], contents)
                     for number, one in enumerate(taken) if one.input in local}
        case Run(mounts=mounts):
            if any(isinstance(mount, HostMount) for mount in mounts):
                return None  # its files are this machine's
            for mount in mounts:
                if isinstance(mount, BindMount | CacheMount) and mount.input is not None:
                    tree = local.get(mount.input)
                    files[mount.target] = [mount.input, mount.source] if tree is None else _digest(
                        selection_of(mount), tree, contents)
    return key_of(kind_of(op), {**parts, "portable": _FORMAT, "inputs": inputs, "local": files})


def _digest(op: Copy, tree: FileTree, contents: ContentDigests) -> str:
    """Of the files that the only source of `op` takes."""
    return Taken(op.sources, (tree,), (tuple(select(op.sources[0], tree, op)),)).digest(contents)


class Prepared:
    """A work whose parts were asked for already; closing it is the solver's."""

    def __init__(self, work: Work, parts: Parts) -> None:
        self._work = work
        self._parts = parts
        self.lists = work.lists
        self.fill = work.fill
        self.close = work.close

    def parts(self) -> Parts:
        return self._parts


def prepare_sources(plan: Plan, resources: Resources) -> dict[int, Work]:
    """The works of URLs and git trees, asked now what they are. Those that cannot tell are left to solving."""
    from builder.engine.ops.prepare import prepare
    from builder.plan.vertices import SourceGit, SourceHttp

    works: dict[int, Work] = {}
    for index, vertex in enumerate(plan.vertices):
        if isinstance(vertex.op, SourceHttp | SourceGit):
            try:
                work = prepare(vertex.op, (), resources)
                works[index] = Prepared(work, work.parts())
            except BuilderError:
                continue
    return works
