"""Plans of several targets as one plan: what they have in common is one vertex, and is solved once.

A plan's names of local trees, secrets and agents mean something only beside its own options; here they get names that
mean the same for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from builder.builds.options import BuildOptions
from builder.builds.secrets import SecretSource, SshSource
from builder.layer.tree import FileTree
from builder.plan.graphbuilder import GraphBuilder
from builder.plan.vertices import AnyOp, Plan, Run, SecretMount, SourceContext, SshMount, Vertex
from builder.solver.reporter import with_target

T = TypeVar("T", SecretSource, SshSource)


class MergedPlans:
    """Collects plans. `trees`, `secrets` and `ssh` are what the vertices of all of them need, by their new names."""

    def __init__(self, *, prefixed: bool) -> None:
        """With `prefixed` the names that progress shows begin with the target's, as in `[app build 1/2]`."""
        self._graph = GraphBuilder()
        self._prefixed = prefixed
        self._tree_names: dict[int, str] = {}
        self.trees: dict[str, FileTree] = {}
        self._secrets: dict[str, SecretSource] = {}
        self._ssh: dict[str, SshSource] = {}
        self._names: set[str] = set()
        """Of vertices that are settled."""
        self._last: Plan | None = None

    @property
    def plan(self) -> Plan | None:
        """All vertices; the other fields mean nothing, and those of one of the plans. None before the first plan."""
        if self._last is None:
            return None
        return msgspec.structs.replace(self._last, vertices=tuple(self._graph.vertices), output=None)

    @property
    def secrets(self) -> tuple[SecretSource, ...]:
        return tuple(self._secrets.values())

    @property
    def ssh(self) -> tuple[SshSource, ...]:
        return tuple(self._ssh.values())

    def settle(self, target: str, options: BuildOptions, trees: Mapping[str, FileTree], plan: Plan) -> Plan:
        """The plan with names that are good for all targets, to be added, or to be stood on by another plan."""
        tree_names = {name: self._tree(target, name, tree) for name, tree in trees.items()}
        secrets = {source.id: _distinct(self._secrets, target, source) for source in options.secrets}
        ssh = {source.id: _distinct(self._ssh, target, source) for source in options.ssh}

        def settled(vertex: Vertex) -> Vertex:
            if vertex.name in self._names:
                return vertex  # of a target that this one stands on
            name = with_target(target, vertex.name) if self._prefixed else vertex.name
            return msgspec.structs.replace(vertex, op=_renamed(vertex.op, tree_names, secrets, ssh), name=name)

        vertices = tuple(map(settled, plan.vertices))
        if self._prefixed:
            self._names.update(vertex.name for vertex in vertices)
        return msgspec.structs.replace(plan, vertices=vertices)

    def add(self, plan: Plan) -> int | None:
        """The vertex of the merged plan that is the settled plan's output."""
        self._last = plan
        return self._graph.include(plan)

    def _tree(self, target: str, name: str, tree: FileTree) -> str:
        known = self._tree_names.get(id(tree))
        if known is None:
            known = self._tree_names[id(tree)] = f"{target} {name}"
            self.trees[known] = tree
        return known


def _distinct(known: dict[str, T], target: str, source: T) -> str:
    """The source's name among all: its own unless another target means something else by it."""
    if known.setdefault(source.id, source) == source:
        return source.id
    name = f"{source.id} {target}"
    known[name] = msgspec.structs.replace(source, id=name)
    return name


def _renamed(op: AnyOp, trees: Mapping[str, str], secrets: Mapping[str, str], ssh: Mapping[str, str]) -> AnyOp:
    match op:
        case SourceContext(name=name):
            return msgspec.structs.replace(op, name=trees.get(name, name))
        case Run(mounts=mounts):
            renamed = []
            for mount in mounts:
                names = secrets if isinstance(mount, SecretMount) else ssh if isinstance(mount, SshMount) else {}
                own = getattr(mount, "id", "")
                renamed.append(msgspec.structs.replace(mount, id=names[own]) if own in names else mount)
            return msgspec.structs.replace(op, mounts=tuple(renamed))
    return op
