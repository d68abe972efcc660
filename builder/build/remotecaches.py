"""The caches elsewhere that one run reads and writes: --cache-from, --cache-to and BUILDKIT_INLINE_CACHE."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from builder.build.options import BuildOptions
from builder.build.request import is_on
from builder.cache.document import CachedLayer
from builder.cache.key import Parts
from builder.context.fingerprints import Sha256Digests
from builder.errors import BuilderError
from builder.oci import Digest
from builder.plan.vertices import AnyOp, Copy, MakeDirectory, Plan, Run, SourceImage
from builder.remotecache.explanations import Explanation, masked, why_missed
from builder.remotecache.exporter import packed, write_steps
from builder.remotecache.importer import RemoteSteps, StepLayers, fetch_blob, read_steps
from builder.remotecache.locations import ExportPlace, ImportPlace, PlaceType, parse_export, parse_import
from builder.solver import events
from builder.solver.imported import (
    Imported,
    blind_vertices,
    found_layers,
    seen_vertices,
    skipped_vertices,
    unseen_images,
)
from builder.solver.lineage import base_parts, instruction_of, parents
from builder.solver.portable import PortableStep, portable_steps, prepare_sources
from builder.solver.reporter import Progress
from builder.solver.resources import Resources
from builder.solver.results import Result, Snapshot
from builder.solver.vertex import Outcome

if TYPE_CHECKING:
    from builder.images.pull import LayerSource
    from builder.registry.access import RegistryAccess
    from builder.store import Store

INLINE_ARG = "BUILDKIT_INLINE_CACHE"
_WHERE = {PlaceType.REGISTRY: "registry", PlaceType.LOCAL: "client directory"}


class CacheNotExported(BuilderError):
    """The build succeeded, and what it was to keep for others, without fail, could not be kept."""

    code = "cache-not-exported"

    def __init__(self, place: ExportPlace, error: BuilderError) -> None:
        super().__init__(f"the cache was not exported to `{place.reference or place.path}`: {error.message}",
                         cause=error.cause, notes=error.notes,
                         hint="the result is done; without `ignore-error=false` in --cache-to the build succeeds")


class CachePlaces(msgspec.Struct, frozen=True):
    """The caches elsewhere that one build names."""

    imports: tuple[ImportPlace, ...]
    exports: tuple[ExportPlace, ...]

    @property
    def is_inline(self) -> bool:
        return any(place.type is PlaceType.INLINE for place in self.exports)


def cache_places(options: BuildOptions) -> CachePlaces:
    """Raises BadCachePlace, UsageError."""
    imports = [place for given in options.cache_from
               for place in (parse_import(given, os.environ) if isinstance(given, str) else (given,))]
    exports = [place for given in options.cache_to
               for place in (parse_export(given, os.environ) if isinstance(given, str) else (given,))]
    if is_on(options.build_args.get(INLINE_ARG, "")):
        exports.append(ExportPlace(type=PlaceType.INLINE))
    return CachePlaces(tuple(dict.fromkeys(imports)), tuple(exports))


def open_caches(named: Iterable[CachePlaces | None], store: Store, registries: RegistryAccess, layers: LayerSource,
                progress: Progress, stack: ExitStack) -> RemoteCaches:
    """The caches that the builds of one run name, read, until `stack` is left."""
    caches = stack.enter_context(RemoteCaches(store, registries, layers, progress))
    caches.read(place for places in named if places is not None for place in places.imports)
    return caches


class PlanSteps(msgspec.Struct, kw_only=True):
    """One plan, its steps as they are known elsewhere, and what was found of them."""

    plan: Plan
    steps: list[PortableStep | None]
    imported: Imported
    results: Mapping[int, Result] = {}
    """Once it is solved."""
    private: set[int] = msgspec.field(default_factory=set)
    """Vertices whose result is not what their key stands for, made by hand or of files that changed meanwhile: neither
    they nor what stands on them may be taken for the real thing."""

    def watch(self, outcome: Outcome) -> None:
        """To be called with each vertex when it ended."""
        index, step = outcome.vertex, self.steps[outcome.vertex]
        if outcome.state == "mended" or (step is not None and index not in self.imported and not step.holds()):
            self.private.add(index)

    def image_steps(self, output: int | None) -> dict[str, int]:
        """For an inline cache: keys of the image's steps, and how many of its layers lie below that of each."""
        found: dict[str, int] = {}
        for index, step in self.exported(output, all_steps=False):
            result = self.results.get(index)
            if isinstance(result, Snapshot):
                found[step.key] = len(result.layers) - 1
        return found

    def exported(self, output: int | None, *, all_steps: bool) -> list[tuple[int, PortableStep]]:
        """The vertices that a cache keeps: those of the image, or all that it is made of."""
        if output is None:
            return []
        chosen = [output, *parents(self.plan, output)]
        if all_steps:
            chosen, seen = [], {output}
            todo = [output]
            while todo:
                chosen.append(index := todo.pop())
                new = set(self.plan.vertices[index].inputs) - seen
                seen |= new
                todo += new
        private = self._standing_on_private()
        return [(index, step) for index in sorted(chosen) if (step := self.steps[index]) is not None
                and index not in private and isinstance(self.plan.vertices[index].op, Run | Copy | MakeDirectory)]

    def _standing_on_private(self) -> set[int]:
        found = set(self.private)
        for index, vertex in enumerate(self.plan.vertices):
            if not found.isdisjoint(vertex.inputs):
                found.add(index)
        return found

    def explanation(self, index: int, step: PortableStep, created: float) -> Explanation:
        """What is kept beside a step's key, to say why a later build misses it."""
        return Explanation(key=step.key, kind=step.kind, name=instruction_of(self.plan.vertices[index]),
                           created=created, parts=self.all_parts(index, step))

    def all_parts(self, index: int, step: PortableStep) -> Parts:
        """The parts of the step's key and what explains them; values of build args only as far as to tell a change."""
        return masked({**step.parts, **step.lists(), **base_parts(self.plan, index)})


class RemoteCaches:
    """Of one run; a context manager, which ends downloads."""

    def __init__(self, store: Store, registries: RegistryAccess, layers: LayerSource, progress: Progress) -> None:
        self._store = store
        self._layers = layers
        self._registries = registries
        self._progress = progress
        self._remotes: list[RemoteSteps] = []
        self._looked_up: list[tuple[StepLayers, Imported]] = []
        self._contents = Sha256Digests(store)

    def __enter__(self) -> RemoteCaches:
        return self

    def __exit__(self, *_: object) -> None:
        for layers, imported in self._looked_up:
            layers.close()
            for work in imported.works.values():
                work.close()

    def read(self, places: Iterable[ImportPlace]) -> None:
        """Asks all places what they know, each once. One that cannot be read is shown, and the build does without."""
        for place in dict.fromkeys(places):
            with (contextlib.suppress(BuilderError),
                  self._progress.internal(f"importing cache manifest from {place}")):
                self._remotes.append(read_steps(place, self._store, self._registries))

    def look_up(self, plan: Plan, resources: Resources, first: int, outputs: Collection[int] = (), *,
                only_images: bool, nothing: bool = False) -> PlanSteps:
        """What the places know of a plan whose vertices are numbered from `first`.

        `outputs` are vertices that are wanted although others stand on them. `only_images`: nobody wants their files,
        so a base image need not be fetched to make an image on it. `nothing`: nor their layers, which are fetched only
        for steps that run.
        """
        sources = prepare_sources(plan, resources)
        steps = portable_steps(plan, resources.contexts, self._contents, sources)
        found: dict[int, tuple[RemoteSteps, CachedLayer]] = {}
        for remote in reversed(self._remotes):  # those that are named first win
            found |= {index: (remote, layer) for index, layer in found_layers(plan, steps, remote.steps).items()}
        skipped = skipped_vertices(plan, outputs, found)
        needed = {index: what for index, what in found.items() if index not in skipped}
        seen = seen_vertices(plan, skipped, needed) if only_images else frozenset(range(len(plan.vertices)))
        unseen = frozenset(index for index in unseen_images(plan, skipped, seen)
                           if self._is_absent(plan.vertices[index].op))
        absent = frozenset(needed) - seen if nothing else frozenset[int]()
        fetched = {index: what for index, what in needed.items() if index not in absent}
        layers = StepLayers(fetched, seen, lambda index: _told(resources, first + index), resources.cancelled)
        imported = Imported(
            layers={index: layer for index, (_, layer) in needed.items()}, skipped=skipped, unseen=unseen,
            blind=blind_vertices(plan, skipped, unseen, needed), absent=absent, fetch=layers.layer, works=sources,
            explain=lambda index: self._explain(known, index))
        known = PlanSteps(plan=plan, steps=steps, imported=imported)
        self._looked_up.append((layers, imported))
        return known

    def _is_absent(self, op: AnyOp) -> bool:
        return isinstance(op, SourceImage) and not all(self._layers.find_layers(op))

    def _explain(self, known: PlanSteps, index: int) -> str:
        step = known.steps[index]
        if step is None:
            return ""
        others = {instruction_of(vertex) for vertex in known.plan.vertices}
        for remote in self._remotes:
            if explanations := remote.explanations():
                told = why_missed(step.kind, known.all_parts(index, step), instruction_of(known.plan.vertices[index]),
                                  explanations, others)
                if told:
                    return f"{told}, compared with {remote.place}"
        return ""

    def write(self, places: Iterable[ExportPlace], solved: Sequence[tuple[PlanSteps, int | None]]) -> None:
        """Keeps the steps of solved plans, each with its output, at all places. Raises CacheNotExported.

        An inline cache is the image's. A place that cannot be written is a warning, or where `ignore_error` is off a
        failure; it does not keep the others from being written.
        """
        self._contents.save()
        failure: CacheNotExported | None = None
        for place in places:
            if place.type is PlaceType.INLINE:
                continue
            try:
                self._write(place, solved)
            except BuilderError as error:
                if place.ignore_error:
                    self._warn(f"the cache was not exported to `{place.reference or place.path}`: {error.message}")
                else:
                    failure = failure or CacheNotExported(place, error)
        if failure is not None:
            raise failure

    def _write(self, place: ExportPlace, solved: Sequence[tuple[PlanSteps, int | None]]) -> None:
        with self._progress.internal(f"exporting cache to {_WHERE[place.type]}") as vertex:
            def say(text: str) -> None:
                self._progress.say(vertex, text)

            say("preparing build cache for export")
            steps: dict[str, CachedLayer] = {}
            explanations: dict[str, Explanation] = {}
            for one, output in solved:
                for index, step in one.exported(output, all_steps=place.all_steps):
                    result = one.results.get(index)
                    if isinstance(result, Snapshot) and index not in one.imported.absent:
                        layer = result.layers[-1]
                        steps[step.key] = packed(self._store, place, layer)
                        explanations[step.key] = one.explanation(index, step, self._store.layer_info(layer).created)
                    else:
                        self._hand_on(step.key, steps, explanations)
            blobs: dict[Digest, RemoteSteps] = {
                layer.blob.digest: remote for remote in self._remotes for layer in remote.steps.values()}
            root = write_steps(place, steps, explanations.values(), self._store, self._registries, say=say,
                               fetch=lambda blob: fetch_blob(blobs, blob))
            say(f"writing cache manifest {root.digest}")

    def _hand_on(self, key: str, steps: dict[str, CachedLayer], explanations: dict[str, Explanation]) -> None:
        """Adds what another cache has of a step that was not needed."""
        for remote in self._remotes:
            if (layer := remote.steps.get(key)) is not None:
                steps[key] = layer
                if (told := remote.explanations().get(key)) is not None:
                    explanations[key] = told
                return

    def _warn(self, text: str) -> None:
        self._progress.emit(events.WarningRaised(time=time.time(), rule="", message=text))


def _told(resources: Resources, vertex: int) -> Callable[[str, int, int, bool], None]:
    """Shows the download of a vertex' layer under it."""
    started = threading.Event()

    def progress(item: str, current: int, total: int, done: bool) -> None:
        if not started.is_set():
            started.set()
            resources.emit(events.VertexStarted(time=time.time(), vertex=vertex))
        resources.emit(events.VertexProgress(time=time.time(), vertex=vertex, item=item, current=current, total=total,
                                             done=done))

    return progress
