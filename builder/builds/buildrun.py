"""One run of builds, from options to results: each target is planned, the plans are solved, each target is exported,
and the record says how it went. A plain build is a run of one target without a name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from builder.builds.buildtarget import BuildTarget, Solved, Tools
from builder.builds.options import BuildOptions, BuildResult
from builder.builds.packer import Packing
from builder.builds.recording import Recording
from builder.builds.request import origin_of, outputs_of
from builder.context.fingerprints import Fingerprints
from builder.images.outputs import OutputType
from builder.layer.tree import FileTree
from builder.plan.vertices import Plan
from builder.solver import events
from builder.solver.reporter import Progress
from builder.solver.resources import Resources
from builder.solver.results import image_of
from builder.solver.solver import Solver
from builder.solver.vertex import Outcome
from builder.store.builds import BuildId

if TYPE_CHECKING:
    from builder.builds.merging import MergedTargets
    from builder.remotecache.cacheimporter import CacheImporter
    from builder.solver.intervention import Intervene

DEFAULT_JOBS = 16


class Wanted(msgspec.Struct, frozen=True):
    """An image that a plan which is solved gives to a target."""

    target: BuildTarget
    plan: Plan
    """The target's own, for one platform."""
    output: int | None
    """The vertex of the plan that is solved; None for an empty image."""


class BuildRun:
    """One run. `run` is called once."""

    def __init__(self, tools: Tools, requests: Mapping[str, BuildOptions], receive: events.Emit | None,
                 intervene: Intervene | None = None) -> None:
        """Targets by name; what is built alone has the name "". Raises UsageError for options that make no sense and
        for targets that stand on each other in a circle, or on none.
        """
        self._tools = tools
        self._progress = progress = Progress(receive)
        self._intervene = intervene
        self._recording = Recording(tools.store, progress)
        self._merged: MergedTargets | None = None
        several = len(requests) > 1
        if "" not in requests or several:
            from builder.builds.merging import MergedTargets, in_order

            requests = in_order(requests)
            self._merged = MergedTargets(requests.values(), prefixed=several)
        outputs = [outputs_of(options) for options in requests.values()]
        self._targets = {
            name: BuildTarget(tools, options, progress.of_target(name if several else ""), self._recording.phases,
                              self._merged)
            for name, options in requests.items()}
        self._outputs = dict(zip(self._targets.values(), outputs, strict=True))
        self._caches = [caches for target in self._targets.values() if (caches := target.caches) is not None]
        self._origins = tuple(origin_of(options, name if several else "") for name, options in requests.items())

    def run(self) -> dict[str, BuildResult]:
        """Builds and exports all targets. Raises BuilderError; the record of the run says how it ended."""
        of_build = self._recording.of_build
        if self._merged is None:
            options = self._targets[""].options
            record = of_build(name=_name(options), origins=self._origins, context=options.context,
                              dockerfile=options.dockerfile, target=options.target,
                              platform=",".join(options.platforms))
        else:
            record = of_build(name=", ".join(sorted(self._targets)), origins=self._origins)
        with record as build, ExitStack() as stack:
            results = self._build(build, stack)
            if self._merged is None:
                self._recording.image = results[""].digest
        return results

    def _build(self, build: BuildId, stack: ExitStack) -> dict[str, BuildResult]:
        whole, trees, plans = self._plan(stack)
        fingerprints = Fingerprints(self._tools.store.secret, self._tools.store)
        resources = whole.resources(build, trees, fingerprints, self._origins, self._intervene)
        stack.callback(resources.close)
        caches = self._open_caches(stack)
        outputs = [output for found in self._outputs.values() for output in found]
        solved: dict[BuildTarget, list[Solved]] = {target: [] for target in self._targets.values()}
        with self._recording.phases.measure("solve"), Packing(self._tools.store, outputs) as packing:
            for plan, wanted in plans:
                for one, image in zip(wanted, self._solve(plan, wanted, resources, packing, caches), strict=True):
                    solved[one.target].append(image)
        fingerprints.save()
        with self._recording.phases.measure("export"):
            results = {name: target.export(build, solved[target], self._outputs[target])
                       for name, target in self._targets.items()}
        if caches is not None:
            for target, found in solved.items():
                target.export_cache(caches, found)
        return results

    def _plan(self, stack: ExitStack) -> tuple[BuildTarget, Mapping[str, FileTree], list[tuple[Plan, list[Wanted]]]]:
        """The plans to solve, and whose credentials and which local trees they need: of one that is built alone its
        own, one by one, and of named targets a single plan.
        """
        merged = self._merged
        if merged is None:
            target = self._targets[""]
            planned = target.prepare(stack)
            return target, planned.resolver.trees, [(plan, [Wanted(target, plan, plan.output)])
                                                    for plan in planned.plans]
        wanted: list[Wanted] = []
        for name, target in self._targets.items():
            planned = target.prepare(stack)
            wanted += [Wanted(target, plan, output) for plan, output in
                       merged.add(name, target.options, planned.resolver.trees, planned.plans)]
        whole = BuildTarget(self._tools, merged.options, self._progress, merged=merged)
        return whole, merged.trees, [] if merged.plan is None else [(merged.plan, wanted)]

    def _solve(self, plan: Plan, wanted: list[Wanted], resources: Resources, packing: Packing,
               caches: CacheImporter | None) -> list[Solved]:
        """What came of the plan for each that wants something of it."""
        first = self._progress.name_plan(plan)
        options = [target.options for target in self._targets.values()]
        squash, save_stages = any(one.squash for one in options), any(one.save_stages for one in options)
        cached = None if caches is None else caches.look_up(
            plan, resources, first, {one.output for one in wanted if one.output is not None},
            only_images=packing.only_blobs and not squash, nothing=packing.nothing and not squash and not save_stages)
        watchers = [packing.watch(msgspec.structs.replace(plan, output=one.output)) for one in wanted
                    if any(output.type is not OutputType.CACHEONLY for output in self._outputs[one.target])]
        watchers.append(self._recording.steps(resources.build, plan, first, resources.contexts))
        if cached is not None:
            watchers.append(cached.watch)

        def record(outcome: Outcome) -> None:
            for ended in watchers:
                ended(outcome)

        solver = Solver(plan, resources, jobs=max(one.jobs for one in options) or DEFAULT_JOBS, first=first,
                        form=None if squash else packing.only_form, remote=cached, record=record,
                        began=self._recording.began(resources.build, plan, first))
        results = solver.solve()
        if cached is not None:
            cached.results = results
        return [Solved(one.plan, image_of(one.output, results), cached, one.output,
                       results if save_stages and one.plan is plan else {}) for one in wanted]

    def _open_caches(self, stack: ExitStack) -> CacheImporter | None:
        """The remote caches that the targets name, read, until `stack` is left; None where they name none."""
        if not self._caches:
            return None
        from builder.remotecache.cacheimporter import CacheImporter

        tools = self._tools
        return stack.enter_context(CacheImporter((source for one in self._caches for source in one.imports),
                                                 tools.store, tools.registries, tools.layers, self._progress))


def _name(options: BuildOptions) -> str:
    return options.tags[0] if options.tags else os.path.basename(os.path.abspath(options.context))
