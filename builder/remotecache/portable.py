"""Keys of steps that mean the same on every machine, made of a plan and its sources alone, before anything runs.

A step's own key (`cache.key`) holds what the layers below look like, in ids and fingerprints that are good on one
machine. A portable key holds how they come to be: the op and the keys of its inputs, down to the diff ids of the base
image, the SHA-256 of local files, and the content of what URLs and git references name now. So a remote cache can be
asked for the last step of a build without doing the first one.

The parts have the names that `cache.key` lists, but that `parent` and `inputs` are portable keys, of what lies below
and of the other inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from builder.cache.key import LIST, CacheKey, Parts, key_of, kind_of, op_parts
from builder.context.local import LocalContext
from builder.errors import BuilderError
from builder.layer.selection import select
from builder.layer.taken import ContentDigests, Taken
from builder.layer.tree import FileTree
from builder.plan.vertices import (
    BindMount,
    CacheMount,
    Copy,
    HostMount,
    Plan,
    Run,
    SourceContext,
    SourceGit,
    SourceHttp,
    Vertex,
)
from builder.solver.lineage import has_parent, selection_of
from builder.solver.ops.executor import OpExecutor
from builder.solver.ops.executors import prepare
from builder.solver.resources import Resources

_FORMAT = 1


class PortableKey(msgspec.Struct, frozen=True):
    """The name of a vertex on every machine, and what it was computed from."""

    key: CacheKey
    kind: str
    parts: Parts
    lists: Callable[[], Parts]
    """Gives the `.list` parts, for explanations."""
    holds: Callable[[], bool] = lambda: True
    """Whether local files are still those of the key: else what was made since is not what it stands for."""


def portable_keys(plan: Plan, trees: Mapping[str, FileTree], contents: ContentDigests,
                  sources: Mapping[int, OpExecutor]) -> list[PortableKey | None]:
    """A key for each vertex; None for local files, and for what has no key that means the same on every machine.

    `contents` gives SHA-256 digests. `sources` are the executors of the vertices whose content decides: URLs and git
    trees.
    What is wrong with a vertex is left to solving it.
    """
    keys: list[PortableKey | None] = []
    for index, vertex in enumerate(plan.vertices):
        local = {position: trees[below.name] for position, needed in enumerate(vertex.inputs)
                 if isinstance(below := plan.vertices[needed].op, SourceContext)}
        inputs = [keys[needed] for needed in vertex.inputs]
        try:
            keys.append(_portable_key(vertex, inputs, local, contents, sources.get(index)))
        except (BuilderError, OSError):
            keys.append(None)
    return keys


def prepare_sources(plan: Plan, resources: Resources) -> dict[int, OpExecutor]:
    """The executors of URLs and git trees, asked now what they are. Those that cannot say are left to solving."""
    executors: dict[int, OpExecutor] = {}
    for index, vertex in enumerate(plan.vertices):
        if isinstance(vertex.op, SourceHttp | SourceGit):
            try:
                executor = prepare(vertex.op, (), resources)
                executors[index] = _Prepared(executor, executor.parts())
            except BuilderError:
                continue
    return executors


class _Prepared:
    """An executor whose parts were asked for already."""

    def __init__(self, executor: OpExecutor, parts: Parts) -> None:
        self._parts = parts
        self.lists = executor.lists
        self.fill = executor.fill
        self.close = executor.close

    def parts(self) -> Parts:
        return self._parts


def _portable_key(vertex: Vertex, inputs: Sequence[PortableKey | None], local: Mapping[int, FileTree],
                  contents: ContentDigests, source: OpExecutor | None) -> PortableKey | None:
    op = vertex.op
    if isinstance(op, SourceContext):
        return None
    if isinstance(op, Run) and any(isinstance(mount, HostMount) for mount in op.mounts):
        return None  # its files are this machine's
    parts = {**(op_parts(op) if source is None else source.parts()), "portable": _FORMAT}
    others = list(enumerate(inputs))
    if has_parent(vertex):
        parent = others.pop(0)[1]
        if not (isinstance(op, Copy) and op.link):  # whose layer does not look at what is below
            if parent is None:
                return None
            parts["parent"] = [parent.key]
    parts["inputs"] = []
    for position, other in others:
        if position not in local:
            if other is None:
                return None
            parts["inputs"].append([position, other.key])
    if isinstance(op, Run):
        parts["from"] = [[mount.target, mount.input, mount.source] for mount in op.mounts
                         if isinstance(mount, BindMount | CacheMount) and mount.input is not None]
    taken = _taken(op, local)
    parts |= {name: files.digest(contents) for name, files in taken.items()}
    kind = kind_of(op)

    def holds() -> bool:
        try:
            now = _taken(op, {position: _anew(tree) for position, tree in local.items()})
            return all(files.digest(contents) == parts[name] for name, files in now.items())
        except (BuilderError, OSError):
            return False

    return PortableKey(key_of(kind, parts), kind, parts, lambda: {
        name + LIST: files.manifest(contents) for name, files in taken.items()}, holds if taken else lambda: True)


def _anew(tree: FileTree) -> FileTree:
    """The tree as it is now, whatever was listed of it before."""
    return tree.anew() if isinstance(tree, LocalContext) else tree


def _taken(op: object, local: Mapping[int, FileTree]) -> dict[str, Taken]:
    """What of local files goes into which part of the key."""
    match op:
        case Copy(sources=sources):
            chosen = tuple(source for source in sources if source.input in local)
            trees = tuple(local[source.input] for source in chosen)
            matches = tuple(tuple(select(source, tree, op)) for source, tree in zip(chosen, trees, strict=True))
            return {"files": Taken(chosen, trees, matches)} if chosen else {}
        case Run(mounts=mounts):
            found = {}
            for mount in mounts:
                if isinstance(mount, BindMount | CacheMount) and mount.input is not None and mount.input in local:
                    selection, tree = selection_of(mount), local[mount.input]
                    matches = (tuple(select(selection.sources[0], tree, selection)),)
                    found[f"mount:{mount.target}"] = Taken(selection.sources, (tree,), matches)
            return found
    return {}
