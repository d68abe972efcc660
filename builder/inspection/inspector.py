"""The Inspector: one handle for looking into what builds left behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import BinaryIO, TypeAlias

from builder.builds.buildtarget import BuildTarget, Planned, Tools
from builder.builds.options import BuildOptions
from builder.context.fingerprints import Fingerprints
from builder.images.byname import layers_of
from builder.images.errors import NotInStore
from builder.inspection.changes import Change, changes
from builder.inspection.contextfiles import ContextListing, list_context
from builder.inspection.forecast import Forecast, Forecaster
from builder.inspection.profile import Profile, profile_of
from builder.inspection.shell import NoShell, entrance
from builder.inspection.steprefs import ImagePlace, NoFiles, StepPlace, find_step
from builder.layer.view import MergedView
from builder.platforms import host_platform
from builder.sandbox.container import Exit, Output
from builder.solver.resources import Resources
from builder.store.builds import Build, BuildId
from builder.store.layers import LayerId, LayerMissing

Place: TypeAlias = StepPlace | ImagePlace


class Inspector:
    """Answers for one open Builder. Hold a lease while results are in use, or prune may take their files away."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def find(self, text: str) -> Place:
        """The step or image that `text` names.

        Raises NoSuchPlace, AmbiguousPlace, NoBuilds, BuildMissing, ImageError.
        """
        tools = self._tools
        step = find_step(tools.store, text)
        if step is not None:
            return step
        try:
            layers, config = layers_of(tools.store, tools.registries, tools.layers, text, host_platform(), "never")
        except NotInStore as error:
            error.notes = (*error.notes, f"a step of the last build would be `@{text}`")
            raise
        return ImagePlace(text, layers, config.config)

    def files(self, place: Place, *, before: bool = False) -> MergedView:
        """The files of a place, or those that the step started from. Raises NoFiles."""
        return MergedView(self._dirs(place, place.layers_before() if before else place.layers()))

    def changes(self, place: Place, other: Place | None = None) -> Iterator[Change]:
        """What a step changed, or what differs from `place` to `other`. Raises NoFiles."""
        before = place.layers() if other is not None else place.layers_before()
        after = place if other is None else other
        return changes(self._dirs(place, before), self._dirs(after, after.layers()))

    def enter(self, place: Place, command: tuple[str, ...], output: Output, stdin: BinaryIO | None = None, *,
              options: BuildOptions, before: bool = False, terminal: bool = False, term: str = "",
              note: Callable[[str], None] = lambda text: None) -> Exit:
        """Runs a command, or without one a shell, in a place; what it changes is thrown away.

        `options` has the secrets and agents, `term` is the kind of terminal. Raises NoFiles, NoShell, SandboxError.
        """
        store = self._tools.store
        resources = self._resources(options)
        try:
            found = entrance(place, resources, before=before, term=term)
            self._dirs(place, found.layers)  # raises NoFiles for what was pruned
            for text in found.notes:
                note(text)
            with store.stage_layer() as writes:
                if not command:
                    command = (found.executor.shell(writes),)
                    if not command[0]:
                        raise NoShell(str(place))
                return found.executor.enter(writes, command, output, stdin, terminal=terminal)
        finally:
            resources.close()

    def forecast(self, options: BuildOptions) -> tuple[Forecast, ...]:
        """What a build would do, for each platform. Nothing is run; images' manifests are read as planning needs them.

        Raises what a build would raise before its first step.
        """
        with ExitStack() as stack:
            planned, target = self._planned(options, stack)
            fingerprints = Fingerprints(self._tools.store.secret, self._tools.store)
            resources = target.resources(BuildId(""), planned.resolver.trees, fingerprints)
            stack.callback(resources.close)

            def scratch() -> str:
                return stack.enter_context(self._tools.store.stage_layer()).diff

            return tuple(Forecaster(plan, resources, self._tools.layers, scratch,
                                    first=target.progress.name_plan(plan)).forecast() for plan in planned.plans)

    def context(self, options: BuildOptions) -> ContextListing:
        """The files that a build would take from its contexts, and those that it leaves out."""
        with ExitStack() as stack:
            planned, _ = self._planned(options, stack)
            return list_context(planned.plans[0], planned.inputs, planned.resolver.trees)

    def profile(self, build: Build) -> Profile:
        """Where the time of a recorded build went."""
        return profile_of(build, self._size)

    def _size(self, layer: LayerId) -> int | None:
        store = self._tools.store
        try:
            return store.layer_size(layer) if store.is_unpacked(layer) else store.layer_info(layer).tar_size
        except LayerMissing:
            return None

    def _planned(self, options: BuildOptions, stack: ExitStack) -> tuple[Planned, BuildTarget]:
        stack.enter_context(self._tools.store.lease())
        target = BuildTarget(self._tools, options)
        return target.prepare(stack, offline=True), target

    def _dirs(self, place: Place, layers: tuple[LayerId, ...]) -> list[str]:
        store = self._tools.store
        for layer in layers:
            if not store.has_layer(layer) and isinstance(place, StepPlace):
                raise NoFiles(place.step, f"layer {layer} was pruned")
        return [store.layer_dir(layer) for layer in layers]

    def _resources(self, options: BuildOptions) -> Resources:
        fingerprints = Fingerprints(self._tools.store.secret, self._tools.store)
        return BuildTarget(self._tools, options).resources(BuildId(""), {}, fingerprints)
