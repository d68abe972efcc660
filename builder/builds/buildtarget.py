"""One target of a run: its inputs, its plans, and the export of what came of them."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from builder.builds import checking
from builder.builds.inputs import Inputs, open_fetched_inputs, open_inputs, parsed
from builder.builds.options import BuildOptions, BuildResult
from builder.builds.recording import Phases
from builder.builds.request import (
    cache_options,
    created_annotation,
    inherited_annotations,
    is_multi,
    log_limit,
    origin_of,
    plan_options,
    platforms_of,
    remote_context,
    source_date_epoch,
    with_local_context,
)
from builder.builds.resolver import BuildMetaResolver
from builder.builds.secrets import Credentials
from builder.cache.stepcache import Cache
from builder.context.fingerprints import Fingerprints
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
from builder.source import Location
from builder.store import Store
from builder.store.builds import BuildId, Origin

if TYPE_CHECKING:
    from builder.builds.fetching import Remotes
    from builder.builds.merging import MergedTargets
    from builder.plan.outline import Outline
    from builder.remotecache.cachedplan import CachedPlan
    from builder.remotecache.cacheimporter import CacheImporter
    from builder.remotecache.locations import CacheOptions
    from builder.sandbox.container import Sandbox
    from builder.solver.intervention import Intervene


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


class BuildTarget:
    """One target. What it reads and resolves is read anew by each call."""

    def __init__(self, tools: Tools, options: BuildOptions, progress: Progress | None = None,
                 phases: Phases | None = None, merged: MergedTargets | None = None) -> None:
        """`progress` and `phases` are those of a run, `merged` is what its named targets share."""
        self.options = options
        self.progress = progress or Progress(None)
        self.warnings = 0
        """The findings so far."""
        self._tools = tools
        self._phases = phases or Phases()
        self._merged = merged
        self._definition: int | None = None
        """The vertex that loaded the Dockerfile: findings are shown under it."""

    def prepare(self, stack: ExitStack, *, offline: bool = False) -> Planned:
        """All before solving; `stack` gives back what it takes. A lease must be held; `offline` is the resolver's."""
        platforms: list[Platform | None] = list(platforms_of(self.options)) or [None]
        with self._phases.measure("load"):
            inputs, dockerfile, resolver = self._read(stack, offline=offline)
        with self._phases.measure("resolve"):
            if self.options.all_platforms:
                from builder.builds.offered import offered_platforms

                platforms = [*offered_platforms(dockerfile, self.options, resolver)] or [None]
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
            return checking.check(dockerfile, self.options, resolver, resolver.unreached)

    def outline(self) -> Outline:
        """What the wanted target takes."""
        with ExitStack() as stack, self._tools.store.lease():
            _, dockerfile, resolver = self._read(stack)
            return checking.survey(dockerfile, self.options, resolver)

    def export(self, build: BuildId, solved: Sequence[Solved], outputs: Sequence[Output]) -> BuildResult:
        """Carries out all outputs."""
        options, tools = self.options, self._tools
        with self.progress.internal("exporting to image") as vertex:
            exporter = Exporter(tools.store, tools.registries, tools.layers, now=time.time(), note=self._note,
                                step=lambda text: self.progress.say(vertex, text), multi_platform=is_multi(options))
            if options.save_stages:
                solved = self._with_saved_stages(solved, lambda text: self.progress.say(vertex, text))
            sources = [self._source(one) for one in solved]
            exported = Exported()
            for output in outputs:
                image = msgspec.structs.replace(
                    output.image, annotations=(*output.image.annotations, *created_annotation(options)))
                output = msgspec.structs.replace(output, image=image)
                one = exporter.export(output, sources, lambda position: MergedView(
                    [tools.store.layer_dir(layer) for layer in solved[position].snapshot.layers]))
                exported = one if one.digest or not exported.digest else exported
        return BuildResult(build=build, digest=exported.digest, image_id=exported.image_id, names=exported.names,
                           metadata=exported.metadata, warnings=self.warnings)

    def _with_saved_stages(self, solved: Sequence[Solved], say: Callable[[str], None]) -> list[Solved]:
        from builder.builds.savedstages import save_stages

        plans = save_stages([(one.plan, functools.partial(_snapshot, one.results)) for one in solved], self.options,
                            self._tools.store, self._tools.layers, say)
        return [msgspec.structs.replace(one, plan=plan) for one, plan in zip(solved, plans, strict=True)]

    def export_cache(self, caches: CacheImporter, solved: Sequence[Solved]) -> None:
        """Keeps the steps wherever --cache-to says."""
        if self.caches is not None:
            from builder.remotecache.cacheexporter import CacheExporter

            with self._phases.measure("cache"):
                CacheExporter(self._tools.store, self._tools.registries, caches.caches, caches.progress).export(
                    self.caches.exports, [(one.cached, one.output) for one in solved if one.cached])

    def _source(self, solved: Solved) -> ImageSource:
        plan, base = solved.plan, solved.plan.base
        below = len(base.layers) if base else 0
        is_inline = self.caches is not None and self.caches.is_inline
        inline = solved.cached.image_keys(solved.output) if is_inline and solved.cached is not None else {}
        source = ImageSource(platform=plan.platform, config=plan.config, history=plan.history,
                             layers=solved.snapshot.layers[below:], base=base, epoch=plan.epoch,
                             annotations=inherited_annotations(self.options, base, self._tools.store.read_blob),
                             steps=inline)
        if not self.options.squash:
            return source
        from builder.builds.squashing import squashed

        return squashed(source, solved.snapshot.layers, self.options.squash, self._tools.store)

    # -- parts ---------------------------------------------------------------------------------------------------

    def _read(self, stack: ExitStack, *, offline: bool = False) -> tuple[Inputs, Dockerfile, BuildMetaResolver]:
        options = with_local_context(self.options, stack)
        remote = remote_context(options)
        remotes = functools.cache(lambda: self._remotes(stack))
        scratch, settled, time_of_context = "", "", None
        if remote is not None or options.context == "-":
            scratch = stack.enter_context(self._tools.store.stage_layer()).diff
        if remote is not None:
            with self.progress.internal("[internal] load remote build context"):
                fetched = remotes().open_context(remote, scratch)
            settled, time_of_context = fetched.dockerfile or "", fetched.time
        self._settle_epoch(time_of_context)
        file = options.dockerfile
        if file.startswith(("http://", "https://")):
            file = remotes().fetch_dockerfile(file)
        shown = os.path.basename(options.dockerfile) if options.dockerfile not in {"", "-"} else "Dockerfile"
        with self.progress.internal(f"[internal] load build definition from {shown}") as self._definition:
            if remote is not None:
                inputs = open_fetched_inputs(file or settled, options.stdin, scratch, options.context_subdir)
            else:
                inputs = open_inputs(options.context, file, options.stdin, scratch, options.context_subdir)
        if self._merged is not None:
            inputs = msgspec.structs.replace(inputs, context=self._merged.open_context(inputs.context))
        dockerfile = parsed(self._tools.store, inputs.dockerfile)
        if ":1." in (dockerfile.directive("syntax") or ""):
            from builder.language.syntaxline import later_than_named

            for sentence in later_than_named(dockerfile):
                self._note(sentence)
        resolver = BuildMetaResolver(
            Resolver(self._tools.store, self._tools.registries, note=self._note), options.named_contexts, inputs.rules,
            inputs.context, self.progress, pull=Pull(options.pull), offline=offline,
            fetch=lambda location: remotes().object_tree(location), links=self._merged.link if self._merged else None)
        return inputs, dockerfile, resolver

    def _remotes(self, stack: ExitStack) -> Remotes:
        from builder.builds.fetching import Remotes

        stack.callback(self._credentials.close)
        return Remotes(self._tools.store, self._credentials, stack)

    @functools.cached_property
    def _credentials(self) -> Credentials:
        """The same for fetching and for steps. Raises UsageError."""
        return Credentials(self.options.secrets, self.options.ssh,
                           self._merged.agents if self._merged is not None else None)

    def _settle_epoch(self, time: int | None) -> None:
        """SOURCE_DATE_EPOCH=context is the time of the context, or none where that has no time of its own."""
        args = self.options.build_args
        if args.get("SOURCE_DATE_EPOCH") == "context":
            epoch = "" if time is None else str(time)
            self.options = msgspec.structs.replace(self.options, build_args={**args, "SOURCE_DATE_EPOCH": epoch})

    def _plan(self, dockerfile: Dockerfile, resolver: BuildMetaResolver, inputs: Inputs,
              platform: Platform | None, *, several: bool, checked: bool) -> Plan:
        linter = Linter(checking.lint_config(dockerfile, self.options) if checked else LintConfig(skip_all=True))
        try:
            options = plan_options(self.options, platform, several=several)
            return plan(dockerfile, options, resolver, linter, epoch=source_date_epoch(self.options))
        finally:
            for finding in linter.findings:
                self.warnings += 1
                self.progress.emit(events.WarningRaised(
                    time=time.time(), rule=finding.rule.name, message=finding.message,
                    description=finding.rule.description, url=finding.rule.url,
                    location=Location(inputs.dockerfile, finding.span) if finding.span else None,
                    vertex=self._definition))

    def resources(self, build: BuildId, trees: Mapping[str, FileTree], fingerprints: Fingerprints,
                  origins: Sequence[Origin] = (), intervene: Intervene | None = None) -> Resources:
        """What solving takes, to be closed by the caller. `origins` are those of several targets at once."""
        tools = self._tools
        credentials = self._credentials
        return Resources(
            store=tools.store, cache=Cache(tools.store, max_age=self.options.cache_ttl),
            sandbox=tools.sandbox, fingerprints=fingerprints,
            contexts=trees, secret=credentials.secret, ssh_socket=credentials.ssh_socket,
            emit=self.progress.emit, build=build,
            fetch_image=lambda op, progress, cancelled: tools.layers.ensure_layers(
                op, progress=progress, cancelled=cancelled),
            origins=origins or (origin_of(self.options),), log_limit=log_limit(os.environ),
            intervene=intervene, on_close=credentials.close)

    @functools.cached_property
    def caches(self) -> CacheOptions | None:
        """The remote caches that the options name; None where they name none. Raises UsageError."""
        return cache_options(self.options)

    def _note(self, text: str) -> None:
        self.progress.emit(events.WarningRaised(time=time.time(), rule="", message=text))


def _snapshot(results: Mapping[int, Result], stage: SavedStage) -> Snapshot | None:
    return image_of(stage.output, results) if stage.output is None or stage.output in results else None
