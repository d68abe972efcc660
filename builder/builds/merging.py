"""Named targets of one run: they are planned in the order in which they stand on each other, and their plans become
one.

What targets share is done once: a directory is walked and its files are fingerprinted once, a step that two targets
have in common is one vertex, and a target that others name as a context (`target:NAME`) is part of their plans. A
plan's names of local trees, secrets and agents mean something only beside its own options; here they get names that
mean the same for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, TypeVar

import msgspec

from builder.builds.options import BuildOptions
from builder.builds.resolver import LINK
from builder.builds.secrets import SecretSource, SshSource
from builder.context.local import ListedContext, LocalContext
from builder.errors import UsageError
from builder.layer.tree import FileTree
from builder.oci import Platform
from builder.plan.graphbuilder import GraphBuilder
from builder.plan.vertices import AnyOp, Plan, Run, SecretMount, SourceContext, SshMount, Vertex
from builder.solver.reporter import with_target

if TYPE_CHECKING:
    from builder.builds.sshagents import SshAgents

T = TypeVar("T", SecretSource, SshSource)


class UnknownLink(UsageError):
    def __init__(self, target: str) -> None:
        super().__init__(f"no target `{target}` is part of this run")


class MergedTargets:
    """Collects the plans of targets. `trees` and `options` are what the vertices of all need, by their new names."""

    def __init__(self, requests: Iterable[BuildOptions], *, prefixed: bool) -> None:
        """With `prefixed` the names that progress shows begin with the target's, as in `[app build 1/2]`."""
        self._graph = GraphBuilder()
        self._prefixed = prefixed
        self._tree_names: dict[int, str] = {}
        self.trees: dict[str, FileTree] = {}
        self._secrets: dict[str, SecretSource] = {}
        self._ssh: dict[str, SshSource] = {}
        self._contexts: dict[tuple[object, ...], LocalContext] = {}
        self._plans: dict[str, list[Plan]] = {}
        """Settled, of each target."""
        self._names: set[str] = set()
        """Of vertices that are settled."""
        self._last: Plan | None = None
        self.agents = _agents(requests)
        """Of the whole run, where a target has any."""

    @property
    def plan(self) -> Plan | None:
        """All vertices; the other fields mean nothing, and those of one of the plans. None before the first plan."""
        if self._last is None:
            return None
        return msgspec.structs.replace(self._last, vertices=tuple(self._graph.vertices), output=None)

    @property
    def options(self) -> BuildOptions:
        """The secrets and agents of all."""
        return BuildOptions(secrets=tuple(self._secrets.values()), ssh=tuple(self._ssh.values()))

    def open_context(self, context: LocalContext) -> LocalContext:
        """Gives all targets that read the same files the same tree."""
        rules = context.rules
        identity = (context.root, rules.rules if rules is not None else None)
        return self._contexts.setdefault(identity, ListedContext(context))

    def link(self, name: str, platform: Platform) -> Plan:
        """The plan of a target that another one stands on: for its platform, or the only one that there is."""
        plans = self._plans[name]
        for plan in plans:
            if (plan.platform.os, plan.platform.architecture) == (platform.os, platform.architecture):
                return plan
        if len(plans) == 1:
            return plans[0]
        raise UsageError(f"target `{name}` is not built for {platform}")

    def add(self, target: str, options: BuildOptions, trees: Mapping[str, FileTree],
            plans: Iterable[Plan]) -> list[tuple[Plan, int | None]]:
        """Each plan with names that are good for all targets, and the vertex of the merged plan that is its output."""
        settled = self._plans[target] = [self._settle(target, options, trees, plan) for plan in plans]
        self._last = settled[-1]
        return [(plan, self._graph.include(plan)) for plan in settled]

    def _settle(self, target: str, options: BuildOptions, trees: Mapping[str, FileTree], plan: Plan) -> Plan:
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

    def _tree(self, target: str, name: str, tree: FileTree) -> str:
        known = self._tree_names.get(id(tree))
        if known is None:
            known = self._tree_names[id(tree)] = f"{target} {name}"
            self.trees[known] = tree
        return known


def in_order(requests: Mapping[str, BuildOptions]) -> dict[str, BuildOptions]:
    """Every target after those that it stands on. Raises UnknownLink, UsageError."""
    needs = {name: [value.removeprefix(LINK) for value in options.named_contexts.values() if value.startswith(LINK)]
             for name, options in requests.items()}
    for names in needs.values():
        for name in names:
            if name not in requests:
                raise UnknownLink(name)
    try:
        return {name: requests[name] for name in TopologicalSorter(needs).static_order()}
    except CycleError as error:
        raise UsageError(f"targets stand on each other: {' -> '.join(error.args[1])}") from None


def _agents(requests: Iterable[BuildOptions]) -> SshAgents | None:
    if not any(options.ssh for options in requests):
        return None
    from builder.builds.sshagents import SshAgents

    return SshAgents()


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
