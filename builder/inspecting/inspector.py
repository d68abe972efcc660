"""The Inspector: one handle for looking into what builds left behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO, TypeAlias

from builder.builds.options import BuildOptions
from builder.builds.request import secret_reader, ssh_sockets
from builder.builds.session import Tools
from builder.builds.transfers import layers_of
from builder.cache.records import Cache
from builder.context.fingerprints import Fingerprints
from builder.engine.resources import Resources
from builder.inspecting.changes import Change, changes
from builder.inspecting.places import ImagePlace, NoFiles, StepPlace, find_step
from builder.inspecting.shell import entrance, find_shell
from builder.layer.view import MergedView
from builder.platforms import host_platform
from builder.sandbox.container import Exit, Output
from builder.store.builds import BuildId
from builder.store.layers import LayerId

Place: TypeAlias = StepPlace | ImagePlace


class Inspector:
    """Answers for one open Builder. Hold a lease while results are in use, or prune may take their files away."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def find(self, text: str) -> Place:
        """The step or image that `text` names. Raises NoSuchPlace, AmbiguousPlace, BuildMissing, ImageError."""
        tools = self._tools
        step = find_step(tools.store, text)
        if step is not None:
            return step
        layers, config = layers_of(tools.store, tools.registries, tools.layers, text, host_platform(), "never")
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
            dirs = self._dirs(place, found.layers)
            for text in found.notes:
                note(text)
            with store.stage_layer() as writes:
                return found.work.enter(writes, command or (find_shell(str(place), dirs),), output, stdin,
                                        terminal=terminal)
        finally:
            resources.close()

    def _dirs(self, place: Place, layers: tuple[LayerId, ...]) -> list[str]:
        store = self._tools.store
        for layer in layers:
            if not store.has_layer(layer) and isinstance(place, StepPlace):
                raise NoFiles(place.step, f"layer {layer} was pruned")
        return [store.layer_dir(layer) for layer in layers]

    def _resources(self, options: BuildOptions) -> Resources:
        tools = self._tools
        return Resources(
            store=tools.store, cache=Cache(tools.store), sandbox=tools.sandbox, contexts={},
            fingerprints=Fingerprints(tools.store.secret, tools.store), secret=secret_reader(options),
            ssh_socket=ssh_sockets(options.ssh), emit=lambda event: None, build=BuildId(""),
            fetch_image=lambda op, progress, cancelled: tools.layers.ensure_layers(op))
