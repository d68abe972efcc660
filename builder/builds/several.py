"""Several builds as one run: their targets are planned in the order in which they stand on each other, their plans
become one, one scheduler solves it, and each target is exported.

What targets share is done once: a directory is walked and its files are fingerprinted once, a step that two targets
have in common runs once, and a target that others name as a context (`target:NAME`) is part of their plans.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

import msgspec

from builder.builds.buildrun import DEFAULT_JOBS, BuildSession, Shared, Solved, Tools, open_caches
from builder.builds.merging import MergedPlans
from builder.builds.options import BuildOptions, BuildResult
from builder.builds.packer import Packing
from builder.builds.recording import Recording
from builder.builds.request import origin_of, outputs_of
from builder.builds.resolver import LINK
from builder.context.fingerprints import Fingerprints
from builder.context.local import ListedContext, LocalContext
from builder.errors import UsageError
from builder.images.outputs import Output, OutputType
from builder.oci import Platform
from builder.plan.vertices import Plan
from builder.solver import events
from builder.solver.reporter import Progress
from builder.solver.resources import Resources
from builder.solver.results import Result, image_of
from builder.solver.solver import Solver
from builder.solver.vertex import Outcome
from builder.store.builds import BuildId

if TYPE_CHECKING:
    from builder.builds.sshagents import SshAgents
    from builder.remotecache.cachedplan import CachedPlan
    from builder.remotecache.cacheimporter import CacheImporter


class UnknownLink(UsageError):
    def __init__(self, target: str) -> None:
        super().__init__(f"no target `{target}` is part of this run")


class _Target(msgspec.Struct):
    """One target, as far as it has come."""

    name: str
    options: BuildOptions
    outputs: Sequence[Output]
    session: BuildSession
    plans: tuple[Plan, ...] = ()
    """Settled: good for all targets."""
    outcomes: tuple[int | None, ...] = ()
    """Their outputs among the merged vertices."""


class SeveralBuilds:
    """One run. `run` is called once."""

    def __init__(self, tools: Tools, requests: Mapping[str, BuildOptions], receive: events.Emit | None) -> None:
        """Targets by name. Raises UsageError for targets that stand on each other in a circle, or on none."""
        self._tools = tools
        self._progress = Progress(receive)
        self._recording = Recording(tools.store, self._progress)
        self._contexts: dict[tuple[object, ...], LocalContext] = {}
        self._agents = _agents(requests.values())
        self._merged = MergedPlans(prefixed=len(requests) > 1)
        self._targets = {name: self._target(name, requests[name], several=len(requests) > 1)
                         for name in _in_order(requests)}
        self._origins = tuple(origin_of(target.options, target.name if len(requests) > 1 else "")
                              for target in self._targets.values())

    def run(self) -> dict[str, BuildResult]:
        """Builds and exports all targets. Raises BuilderError; the record of the run says how it ended."""
        with (self._recording.of_build(name=", ".join(sorted(self._targets)), origins=self._origins) as build,
              ExitStack() as stack):
            return self._build(build, stack)

    def _build(self, build: BuildId, stack: ExitStack) -> dict[str, BuildResult]:
        for target in self._targets.values():
            self._plan(target, stack)
        fingerprints = Fingerprints(self._tools.store.secret, self._tools.store)
        caches = open_caches((target.session.caches for target in self._targets.values()), self._tools,
                             self._progress, stack)
        cached, results = self._solve(build, fingerprints, stack, caches)
        fingerprints.save()
        solved = {target.name: [Solved(plan, image_of(outcome, results), cached, outcome)
                                for plan, outcome in zip(target.plans, target.outcomes, strict=True)]
                  for target in self._targets.values()}
        with self._recording.phases.measure("export"):
            exported = {name: self._export(self._targets[name], found, build) for name, found in solved.items()}
        if caches is not None:
            for name, found in solved.items():
                self._targets[name].session.export_cache(caches, found)
        return exported

    def _plan(self, target: _Target, stack: ExitStack) -> None:
        with self._recording.phases.measure("plan"):
            planned = target.session.prepare(stack)
            target.plans = tuple(self._merged.settle(target.name, target.options, planned.resolver.trees, plan)
                                 for plan in planned.plans)
            target.outcomes = tuple(map(self._merged.add, target.plans))

    def _solve(self, build: BuildId, fingerprints: Fingerprints, stack: ExitStack,
               caches: CacheImporter | None) -> tuple[CachedPlan | None, dict[int, Result]]:
        plan = self._merged.plan
        if plan is None:
            return None, {}
        resources = self._resources(build, fingerprints)
        stack.callback(resources.close)
        first = self._progress.name_plan(plan)
        jobs = max((target.options.jobs for target in self._targets.values()), default=0) or DEFAULT_JOBS
        outputs = [output for target in self._targets.values() for output in target.outputs]
        with self._recording.phases.measure("solve"), Packing(self._tools.store, outputs) as packing:
            watchers = [*self._watchers(plan, packing),
                        self._recording.steps(build, plan, first, resources.contexts)]

            def record(outcome: Outcome) -> None:
                for ended in watchers:
                    ended(outcome)

            wanted = {outcome for target in self._targets.values() for outcome in target.outcomes
                      if outcome is not None}
            cached = None if caches is None else caches.look_up(plan, resources, first, wanted,
                                                                only_images=packing.only_blobs,
                                                                nothing=packing.nothing)
            results = Solver(plan, resources, jobs=jobs, first=first, record=record,
                             remote=cached,
                             began=self._recording.began(build, plan, first)).solve()
        if cached is not None:
            cached.results = results
        return cached, results

    def _watchers(self, plan: Plan, packing: Packing) -> list[Callable[[Outcome], None]]:
        """What packs the layers of the targets that become images."""
        return [packing.watch(msgspec.structs.replace(plan, output=outcome))
                for target in self._targets.values() for outcome in target.outcomes
                if any(output.type is not OutputType.CACHEONLY for output in target.outputs)]

    def _export(self, target: _Target, solved: Sequence[Solved], build: BuildId) -> BuildResult:
        exported = target.session.export(solved, target.outputs)
        return BuildResult(build=build, digest=exported.digest, image_id=exported.image_id, names=exported.names,
                           metadata=exported.metadata, warnings=target.session.warnings)

    # -- parts ---------------------------------------------------------------------------------------------------

    def _target(self, name: str, options: BuildOptions, *, several: bool) -> _Target:
        outputs = outputs_of(options)
        shared = Shared(self._progress.of_target(name if several else ""), self._link, self._open_context, self._agents)
        return _Target(name, options, outputs, BuildSession(self._tools, options, None, shared=shared))

    def _link(self, name: str, platform: Platform) -> Plan:
        """The plan of a target that another one stands on: for its platform, or the only one that there is."""
        plans = self._targets[name].plans
        for plan in plans:
            if (plan.platform.os, plan.platform.architecture) == (platform.os, platform.architecture):
                return plan
        if len(plans) == 1:
            return plans[0]
        raise UsageError(f"target `{name}` is not built for {platform}")

    def _open_context(self, context: LocalContext) -> LocalContext:
        rules = context.rules
        identity = (context.root, rules.rules if rules is not None else None)
        return self._contexts.setdefault(identity, ListedContext(context))

    def _resources(self, build: BuildId, fingerprints: Fingerprints) -> Resources:
        options = BuildOptions(secrets=self._merged.secrets, ssh=self._merged.ssh)
        shared = Shared(self._progress, self._link, self._open_context, self._agents)
        return BuildSession(self._tools, options, None, shared=shared).resources(
            build, self._merged.trees, fingerprints, self._origins)


def _agents(requests: Iterable[BuildOptions]) -> SshAgents | None:
    if not any(options.ssh for options in requests):
        return None
    from builder.builds.sshagents import SshAgents

    return SshAgents()


def links_of(options: BuildOptions) -> list[str]:
    """The targets that a build stands on."""
    return [value.removeprefix(LINK) for value in options.named_contexts.values() if value.startswith(LINK)]


def _in_order(requests: Mapping[str, BuildOptions]) -> list[str]:
    """Every target after those that it stands on. Raises UnknownLink, UsageError."""
    needs = {name: links_of(options) for name, options in requests.items()}
    for names in needs.values():
        for name in names:
            if name not in requests:
                raise UnknownLink(name)
    try:
        return list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        raise UsageError(f"targets stand on each other: {' -> '.join(error.args[1])}") from None
