"""One build from options to result: inputs, plans, solving, exporting, and the record of it."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from builder.builds import checking
from builder.builds.inputs import Inputs, open_fetched_inputs, open_inputs
from builder.builds.options import BuildOptions, BuildResult
from builder.builds.packer import Packing
from builder.builds.parsing import parsed
from builder.builds.recording import Recording
from builder.builds.request import (
    cache_options,
    created_annotation,
    inherited_annotations,
    is_multi,
    log_limit,
    origin_of,
    outputs_of,
    plan_options,
    platforms_of,
    remote_context,
    source_date_epoch,
    with_local_context,
)
from builder.builds.resolver import BuildMetaResolver, Links
from builder.builds.secrets import Credentials
from builder.cache.stepcache import Cache
from builder.context.fingerprints import Fingerprints
from builder.context.local import LocalContext
from builder.errors import DockerfileErrors
from builder.images.assemble import ImageSource
from builder.images.exporter import Exported, Exporter
from builder.images.outputs import Output
from builder.images.pull import LayerSource
from builder.images.resolve import Pull, Resolver
from builder.language.instructions import Dockerfile
from builder.layer.tree import FileTree
from builder.layer.view import MergedView
from builder.lint.linter import LintConfig, Linter
from builder.lint.report import Report
from builder.oci import Platform
from builder.plan.planner import plan
from builder.plan.vertices import Plan, SavedStage
from builder.registry.access import RegistryAccess
from builder.solver import events
from builder.solver.reporter import Progress
from builder.solver.resources import Resources
from builder.solver.results import Result, Snapshot, image_of
from builder.solver.solver import Solver
from builder.solver.vertex import Outcome
from builder.source import Location
from builder.store import Store
from builder.store.builds import BuildId, Origin

if TYPE_CHECKING:
    from builder.builds.fetching import Remotes
    from builder.builds.sshagents import SshAgents
    from builder.plan.outline import Outline
    from builder.remotecache.cachedplan import CachedPlan
    from builder.remotecache.cacheimporter import CacheImporter
    from builder.remotecache.locations import CacheOptions
    from builder.sandbox.container import Sandbox
    from builder.solver.intervention import Intervene

DEFAULT_JOBS = 16


class Tools(msgspec.Struct, frozen=True):
    """What a Builder has open for all of its builds."""

    store: Store
    sandbox: Callable[[], Sandbox]
    registries: RegistryAccess
    layers: LayerSource


class Planned(msgspec.Struct, frozen=True):
    """A build before its first step: its inputs, what they name, and a plan for each platform."""

    inputs: Inputs
    resolver: BuildMetaResolver
    plans: tuple[Plan, ...]


class Shared(msgspec.Struct, frozen=True):
    """Of several targets of one run, as one of them sees it."""

    progress: Progress
    """Of this target."""
    links: Links
    open_context: Callable[[LocalContext], LocalContext]
    """Gives all targets that read the same files the same tree."""
    agents: SshAgents | None
    """Of the whole run, where a target has any."""


class Solved(msgspec.Struct, frozen=True):
    """A plan and the layers of its image, those of the base included."""

    plan: Plan
    snapshot: Snapshot
    cached: CachedPlan | None = None
    """What remote caches have of it, where any are used."""
    output: int | None = None
    """The vertex of `cached.plan` whose layers these are."""
    results: Mapping[int, Result] = {}
    """Of all vertices, where stages are to be saved."""


class BuildSession:
    """One build. `run` is called once."""

    def __init__(self, tools: Tools, options: BuildOptions, receive: events.Emit | None,
                 intervene: Intervene | None = None, *, shared: Shared | None = None) -> None:
        """`shared` is what the targets of one run have in common; without it this is a run of its own."""
        self._tools = tools
        self._options = options
        self._shared = shared
        self._progress = shared.progress if shared is not None else Progress(receive)
        self._intervene = intervene
        self._recording = Recording(tools.store, self._progress)
        self._warnings = 0
        self._definition: int | None = None
        """The vertex that loaded the Dockerfile: findings are shown under it."""

    def run(self) -> BuildResult:
        """Builds and exports. Raises BuilderError; the record of the build says how it ended."""
        options, recording = self._options, self._recording
        outputs, caches = outputs_of(options), self.caches
        with recording.of_build(name=_name(options), origins=(origin_of(options),), context=options.context,
                                dockerfile=options.dockerfile, target=options.target,
                                platform=",".join(options.platforms)) as build, \
                ExitStack() as stack:
            result = self._build(build, outputs, caches, stack)
            recording.image = result.digest
        return result

    def prepare(self, stack: ExitStack, *, offline: bool = False) -> Planned:
        """All before solving; `stack` gives back what it takes. A lease must be held; `offline` is the resolver's."""
        platforms: list[Platform | None] = list(platforms_of(self._options)) or [None]
        with self._recording.phases.measure("load"):
            inputs, dockerfile, resolver = self._read(stack, offline=offline)
        with self._recording.phases.measure("resolve"):
            if self._options.all_platforms:
                from builder.builds.offered import offered_platforms

                platforms = [*offered_platforms(dockerfile, self._options, resolver)] or [None]
            # as in BuildKit the checks speak of the first of several platforms alone
            return Planned(inputs, resolver, tuple(
                self._plan(dockerfile, resolver, inputs, platform, several=len(platforms) > 1,
                           checked=platform == platforms[0]) for platform in platforms))

    def plans(self) -> tuple[Plan, ...]:
        """The plans of the build, one for each platform, without solving them."""
        with self._tools.store.lease(), ExitStack() as stack:
            return self.prepare(stack).plans

    def dockerfile(self) -> Dockerfile:
        """The parsed Dockerfile."""
        with ExitStack() as stack:
            return self._read(stack)[1]

    def check(self) -> Report:
        """The findings of the checks for the target, or without one for all stages; nothing is built."""
        with ExitStack() as stack:
            stack.enter_context(self._tools.store.lease())
            try:
                _, dockerfile, resolver = self._read(stack, offline=True)
            except DockerfileErrors as error:
                return checking.unparsed(error)
            return checking.check(dockerfile, self._options, resolver, resolver.unreached)

    def outline(self) -> Outline:
        """What the wanted target takes."""
        with ExitStack() as stack, self._tools.store.lease():
            _, dockerfile, resolver = self._read(stack)
            return checking.survey(dockerfile, self._options, resolver)

    def _build(self, build: BuildId, outputs: Sequence[Output], named: CacheOptions | None,
               stack: ExitStack) -> BuildResult:
        planned = self.prepare(stack)
        fingerprints = Fingerprints(self._tools.store.secret, self._tools.store)
        resources = self.resources(build, planned.resolver.trees, fingerprints)
        stack.callback(resources.close)
        caches = open_caches([named], self._tools, self._progress, stack)
        with self._recording.phases.measure("solve"), Packing(self._tools.store, outputs) as packing:
            solved = [self._solve(one, resources, build, packing, caches) for one in planned.plans]
        fingerprints.save()
        with self._recording.phases.measure("export"):
            exported = self.export(solved, outputs)
        if caches is not None:
            self.export_cache(caches, solved)
        return BuildResult(build=build, digest=exported.digest, image_id=exported.image_id, names=exported.names,
                           metadata=exported.metadata, warnings=self._warnings)

    def export(self, solved: Sequence[Solved], outputs: Sequence[Output]) -> Exported:
        """Carries out all outputs."""
        options, tools = self._options, self._tools
        with self._progress.internal("exporting to image") as vertex:
            exporter = Exporter(tools.store, tools.registries, tools.layers, now=time.time(), note=self._note,
                                step=lambda text: self._progress.say(vertex, text), multi_platform=is_multi(options))
            if options.save_stages:
                solved = self._with_saved_stages(solved, lambda text: self._progress.say(vertex, text))
            sources = [self._source(one) for one in solved]
            exported = Exported()
            for output in outputs:
                image = msgspec.structs.replace(
                    output.image, annotations=(*output.image.annotations, *created_annotation(options)))
                output = msgspec.structs.replace(output, image=image)
                one = exporter.export(output, sources, lambda position: MergedView(
                    [tools.store.layer_dir(layer) for layer in solved[position].snapshot.layers]))
                exported = one if one.digest or not exported.digest else exported
            return exported

    def _with_saved_stages(self, solved: Sequence[Solved], say: Callable[[str], None]) -> list[Solved]:
        from builder.builds.savedstages import save_stages

        plans = save_stages([(one.plan, functools.partial(_snapshot, one.results)) for one in solved], self._options,
                            self._tools.store, self._tools.layers, say)
        return [msgspec.structs.replace(one, plan=plan) for one, plan in zip(solved, plans, strict=True)]

    def export_cache(self, caches: CacheImporter, solved: Sequence[Solved]) -> None:
        """Keeps the steps wherever --cache-to says."""
        if self.caches is not None:
            from builder.remotecache.cacheexporter import CacheExporter

            with self._recording.phases.measure("cache"):
                CacheExporter(self._tools.store, self._tools.registries, caches.caches, caches.progress).export(
                    self.caches.exports, [(one.cached, one.output) for one in solved if one.cached])

    def _source(self, solved: Solved) -> ImageSource:
        plan, base = solved.plan, solved.plan.base
        below = len(base.layers) if base else 0
        is_inline = self.caches is not None and self.caches.is_inline
        inline = solved.cached.image_keys(solved.output) if is_inline and solved.cached is not None else {}
        source = ImageSource(platform=plan.platform, config=plan.config, history=plan.history,
                             layers=solved.snapshot.layers[below:], base=base, epoch=plan.epoch,
                             annotations=inherited_annotations(self._options, base, self._tools.store.read_blob),
                             steps=inline)
        if not self._options.squash:
            return source
        from builder.builds.squashing import squashed

        return squashed(source, solved.snapshot.layers, self._options.squash, self._tools.store)

    # -- parts ---------------------------------------------------------------------------------------------------

    def _read(self, stack: ExitStack, *, offline: bool = False) -> tuple[Inputs, Dockerfile, BuildMetaResolver]:
        options = with_local_context(self._options, stack)
        remote = remote_context(options)
        remotes = functools.cache(lambda: self._remotes(stack))
        scratch, settled, time_of_context = "", "", None
        if remote is not None or options.context == "-":
            scratch = stack.enter_context(self._tools.store.stage_layer()).diff
        if remote is not None:
            with self._progress.internal("[internal] load remote build context"):
                fetched = remotes().open_context(remote, scratch)
            settled, time_of_context = fetched.dockerfile or "", fetched.time
        self._settle_epoch(time_of_context)
        file = options.dockerfile
        if file.startswith(("http://", "https://")):
            file = remotes().fetch_dockerfile(file)
        shown = os.path.basename(options.dockerfile) if options.dockerfile not in {"", "-"} else "Dockerfile"
        with self._progress.internal(f"[internal] load build definition from {shown}") as self._definition:
            if remote is not None:
                inputs = open_fetched_inputs(file or settled, options.stdin, scratch, options.context_subdir)
            else:
                inputs = open_inputs(options.context, file, options.stdin, scratch, options.context_subdir)
        if self._shared is not None:
            inputs = msgspec.structs.replace(inputs, context=self._shared.open_context(inputs.context))
        dockerfile = parsed(self._tools.store, inputs.dockerfile)
        if ":1." in (dockerfile.directive("syntax") or ""):
            from builder.language.syntaxline import later_than_named

            for sentence in later_than_named(dockerfile):
                self._note(sentence)
        resolver = BuildMetaResolver(
            Resolver(self._tools.store, self._tools.registries, note=self._note), options.named_contexts, inputs.rules,
            inputs.context, self._progress, pull=Pull(options.pull), offline=offline,
            fetch=lambda place: remotes().object_tree(place), links=self._shared.links if self._shared else None)
        return inputs, dockerfile, resolver

    def _remotes(self, stack: ExitStack) -> Remotes:
        from builder.builds.fetching import Remotes

        stack.callback(self._credentials.close)
        return Remotes(self._tools.store, self._credentials, stack)

    @functools.cached_property
    def _credentials(self) -> Credentials:
        """The same for fetching and for steps. Raises UsageError."""
        return Credentials(self._options.secrets, self._options.ssh,
                           self._shared.agents if self._shared is not None else None)

    def _settle_epoch(self, time: int | None) -> None:
        """SOURCE_DATE_EPOCH=context is the time of the context, or none where that has no time of its own."""
        args = self._options.build_args
        if args.get("SOURCE_DATE_EPOCH") == "context":
            epoch = "" if time is None else str(time)
            self._options = msgspec.structs.replace(self._options, build_args={**args, "SOURCE_DATE_EPOCH": epoch})

    def _plan(self, dockerfile: Dockerfile, resolver: BuildMetaResolver, inputs: Inputs,
              platform: Platform | None, *, several: bool, checked: bool) -> Plan:
        linter = Linter(checking.lint_config(dockerfile, self._options) if checked else LintConfig(skip_all=True))
        try:
            options = plan_options(self._options, platform, several=several)
            return plan(dockerfile, options, resolver, linter, epoch=source_date_epoch(self._options))
        finally:
            for finding in linter.findings:
                self._warnings += 1
                self._progress.emit(events.WarningRaised(
                    time=time.time(), rule=finding.rule.name, message=finding.message,
                    description=finding.rule.description, url=finding.rule.url,
                    location=Location(inputs.dockerfile, finding.span) if finding.span else None,
                    vertex=self._definition))

    def number(self, plan: Plan) -> int:
        """Announces the plan's vertices; the number of its first."""
        return self._progress.name_plan(plan)

    def resources(self, build: BuildId, trees: Mapping[str, FileTree], fingerprints: Fingerprints,
                  origins: Sequence[Origin] = ()) -> Resources:
        """What solving takes, to be closed by the caller. `origins` are those of several targets at once."""
        tools = self._tools
        credentials = self._credentials
        return Resources(
            store=tools.store, cache=Cache(tools.store, max_age=self._options.cache_ttl),
            sandbox=tools.sandbox, fingerprints=fingerprints,
            contexts=trees, secret=credentials.secret, ssh_socket=credentials.ssh_socket,
            emit=self._progress.emit, build=build,
            fetch_image=lambda op, progress, cancelled: tools.layers.ensure_layers(
                op, progress=progress, cancelled=cancelled),
            origins=origins or (origin_of(self._options),), log_limit=log_limit(os.environ),
            intervene=self._intervene, on_close=credentials.close)

    @functools.cached_property
    def caches(self) -> CacheOptions | None:
        """The remote caches that the options name; None where they name none. Raises UsageError."""
        return cache_options(self._options)

    def _solve(self, planned: Plan, resources: Resources, build: BuildId, packing: Packing,
               caches: CacheImporter | None) -> Solved:
        first = self.number(planned)
        cached = None if caches is None else caches.look_up(
            planned, resources, first, only_images=packing.only_blobs and not self._options.squash,
            nothing=packing.nothing and not self._options.squash and not self._options.save_stages)
        ended = packing.watch(planned)
        recorded = self._recording.steps(build, planned, first, resources.contexts)

        def record(outcome: Outcome) -> None:
            ended(outcome)
            recorded(outcome)
            if cached is not None:
                cached.watch(outcome)

        solver = Solver(planned, resources, jobs=self._options.jobs or DEFAULT_JOBS, first=first,
                        form=None if self._options.squash else packing.only_form,
                        remote=cached, record=record, began=self._recording.began(build, planned, first))
        results = solver.solve()
        if cached is not None:
            cached.results = results
        return Solved(planned, image_of(planned.output, results), cached, planned.output,
                      results if self._options.save_stages else {})

    @property
    def warnings(self) -> int:
        """The findings so far."""
        return self._warnings

    def _note(self, text: str) -> None:
        self._progress.emit(events.WarningRaised(time=time.time(), rule="", message=text))


def open_caches(named: Iterable[CacheOptions | None], tools: Tools, progress: Progress,
                stack: ExitStack) -> CacheImporter | None:
    """The remote caches that the builds of one run name, read, until `stack` is left; None where they name none."""
    found = [one for one in named if one is not None]
    if not found:
        return None
    from builder.remotecache.cacheimporter import CacheImporter

    return stack.enter_context(CacheImporter((source for one in found for source in one.imports), tools.store,
                                             tools.registries, tools.layers, progress))


def _snapshot(results: Mapping[int, Result], stage: SavedStage) -> Snapshot | None:
    return image_of(stage.output, results) if stage.output is None or stage.output in results else None


def _name(options: BuildOptions) -> str:
    return options.tags[0] if options.tags else os.path.basename(os.path.abspath(options.context))
