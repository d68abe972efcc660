"""What a build would do: which steps would come from the cache, which would run and why, and how long it would take.

Nothing is run, fetched or written. Keys are computed as the engine computes them, as far as that goes without results:
the layer of a RUN is named after its key, so the keys of RUNs that follow a miss are known as well; what a COPY finds
behind a miss is not, and it is honestly called unknown.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence

import msgspec

from builder.cache.differences import PARENT_CHANGED
from builder.cache.key import key_of, kind_of
from builder.errors import BuilderError
from builder.images.pull import LayerSource
from builder.layer.copylayer import write_inline
from builder.layer.view import MergedView
from builder.oci import Descriptor
from builder.plan.offline import UNKNOWN_DIGEST
from builder.plan.vertices import (
    BindMount,
    CacheMount,
    Plan,
    Run,
    SourceContext,
    SourceGit,
    SourceHttp,
    SourceImage,
    SourceInline,
    Vertex,
)
from builder.solver.busyfiles import despite_changes
from builder.solver.lineage import base_parts, has_parent, instruction_of, is_internal, parents
from builder.solver.ops.executor import OpExecutor
from builder.solver.ops.executors import prepare
from builder.solver.resources import Resources
from builder.solver.results import LocalFiles, Result, Snapshot
from builder.store.layers import LayerId


class Fate(enum.StrEnum):
    HIT = "hit"
    MISS = "miss"
    FETCH = "fetch"
    """An image, or layers of it, would be pulled."""
    UNKNOWN = "unknown"
    """It depends on what another step makes, or on what a server says."""


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of one vertex."""

    vertex: int
    """Its number in a build: that of its progress, of `builder why` and of `builder debug`."""
    name: str
    fate: Fate
    why: str = ""
    key: str = ""
    took: float | None = None
    """Seconds when it last ran; None if it never did."""
    bytes: int = 0
    """To be fetched."""
    inputs: tuple[int, ...] = ()
    internal: bool = False
    """Housekeeping rather than an instruction."""

    @property
    def runs(self) -> bool:
        """Whether the step would surely do something."""
        return self.fate in (Fate.MISS, Fate.FETCH)

    @property
    def expected(self) -> float:
        """Seconds that it would take, as far as is known."""
        return 0.0 if self.fate is Fate.HIT else self.took or 0.0


class Forecast(msgspec.Struct, frozen=True):
    """Of one platform."""

    plan: Plan
    predictions: tuple[Prediction, ...]

    @property
    def instructions(self) -> tuple[Prediction, ...]:
        """The steps that people wrote."""
        return tuple(prediction for prediction in self.predictions if not prediction.internal)


class Forecaster:
    """For one plan. A lease must be held; `scratch` gives an empty directory that the caller removes."""

    def __init__(self, plan: Plan, resources: Resources, layers: LayerSource, scratch: Callable[[], str], *,
                 first: int = 0) -> None:
        """`first` is the number that a build would give the plan's first vertex."""
        self._plan = plan
        self._first = first
        self._scratch = scratch
        self._resources = resources
        self._images = layers
        self._results: list[Result | None] = []
        self._absent: set[LayerId] = set()
        """Layers of results that a build would make first."""
        self._predictions: list[Prediction] = []

    def forecast(self) -> Forecast:
        """Predictions for all vertices, in the plan's order.

        Raises what a build would raise before it runs anything: a source that is not there, a user that is unknown.
        """
        for index, vertex in enumerate(self._plan.vertices):
            try:
                prediction, result = self._predict(index, vertex)
            except BuilderError as error:
                raise error.at(vertex.location) from error
            self._predictions.append(prediction)
            self._results.append(result)
        return Forecast(self._plan, tuple(msgspec.structs.replace(
            one, vertex=self._first + one.vertex, inputs=tuple(self._first + needed for needed in one.inputs))
            for one in self._predictions))

    def _predict(self, index: int, vertex: Vertex) -> tuple[Prediction, Result | None]:
        op = vertex.op
        known = self._prediction(index, vertex, Fate.HIT)
        match op:
            case SourceContext(name=name):
                return known, LocalFiles(name, self._resources.contexts[name])
            case SourceImage(digest=digest) if digest == UNKNOWN_DIGEST:
                return self._unknown(index, vertex, "the image is not here and its registry cannot be reached"), None
            case SourceImage():
                return self._image(known, op)
            case SourceInline(files=files):
                directory = self._scratch()
                write_inline(files, directory)
                return known, LocalFiles(vertex.name, MergedView([directory]))
            case SourceHttp() | SourceGit():
                why = "only a build asks the server what is there now"
                return self._unknown(index, vertex, why), None
        blocking = self._blocking(vertex)
        if blocking is not None:
            return self._behind(index, vertex, blocking), None

        def keyed(inputs: Sequence[Result]) -> tuple[Prediction, Result | None]:
            executor = prepare(op, inputs, self._resources)
            try:
                return self._keyed(index, vertex, executor, inputs)
            finally:
                executor.close()

        inputs = [result for needed in vertex.inputs if (result := self._results[needed]) is not None]
        return despite_changes(self._resources, inputs, keyed)

    def _image(self, known: Prediction, op: SourceImage) -> tuple[Prediction, Result | None]:
        found = self._images.find_layers(op)
        layers = tuple(layer for layer in found if layer is not None)
        if len(layers) == len(found):
            return known, Snapshot(layers)
        missing = [descriptor for descriptor, layer in zip(op.descriptors, found, strict=False) if layer is None]
        size = sum(descriptor.size for descriptor in missing if not self._has_blob(descriptor))
        why = f"{len(missing)} of {len(found)} layers are not here" if layers else "the image is not here"
        return msgspec.structs.replace(known, fate=Fate.FETCH, why=why, bytes=size), None

    def _has_blob(self, descriptor: Descriptor) -> bool:
        return self._resources.store.has_blob(descriptor.digest)

    def _keyed(self, index: int, vertex: Vertex, executor: OpExecutor,
               inputs: Sequence[Result]) -> tuple[Prediction, Result | None]:
        cache, store = self._resources.cache, self._resources.store
        parts = executor.parts()
        key = key_of(kind_of(vertex.op), parts)
        below = inputs[0].layers if has_parent(vertex) and isinstance(inputs[0], Snapshot) else ()
        record = None if vertex.ignore_cache else cache.lookup(key)
        if record is not None and record.layer is not None:
            return (self._prediction(index, vertex, Fate.HIT, key=key, took=record.seconds),
                    Snapshot((*below, record.layer)))
        if vertex.ignore_cache:
            why = "the cache would not be asked (--no-cache)"
        else:
            parts = {**parts, **executor.lists(), **base_parts(self._plan, index)}
            why = self._sentence(index, self._resources.why_missed(self._plan, index, parts))
        fate = Fate.MISS
        if not vertex.ignore_cache and (maybe := self._maybe_the_same(index)) is not None:
            fate, why = Fate.UNKNOWN, f"a hit if #{self._first + maybe} makes the same files as last time"
        layer = store.id_of_content(f"{'result of' if isinstance(vertex.op, Run) else 'key'} {key}")
        self._absent.add(layer)
        prediction = self._prediction(index, vertex, fate, why=why, key=key, took=self._history(vertex))
        return prediction, Snapshot((*below, layer))

    def _sentence(self, index: int, why: str) -> str:
        """The reason, with the number of the step whose layer is a different one."""
        running = next((below for below in parents(self._plan, index) if self._predictions[below].runs), None)
        if running is None:
            return why
        below = f"#{self._first + running}, which it lies on, would run"
        return "; ".join(below if sentence in PARENT_CHANGED else sentence
                         for sentence in why.split("; "))

    def _blocking(self, vertex: Vertex) -> int | None:
        """The first input that the key needs more of than is there."""
        for position, needed in enumerate(vertex.inputs):
            result = self._results[needed]
            if result is None:
                return needed
            is_absent = isinstance(result, Snapshot) and not self._absent.isdisjoint(result.layers)
            if is_absent and self._reads(vertex, position):
                return needed
        return None

    def _reads(self, vertex: Vertex, position: int) -> bool:
        """Whether the key needs to see the files of an input, not only which layers it has."""
        op = vertex.op
        if not isinstance(op, Run):
            return True
        return any(isinstance(mount, BindMount | CacheMount) and mount.input == position and mount.source != "/"
                   for mount in op.mounts)

    def _behind(self, index: int, vertex: Vertex, blocking: int) -> Prediction:
        """A RUN on a layer that never was runs for sure; of anything else only that step will tell."""
        new = [below for below in parents(self._plan, index)
               if self._predictions[below].fate is Fate.MISS and self._is_new(below)]
        if isinstance(vertex.op, Run) and new:
            return self._prediction(index, vertex, Fate.MISS, took=self._history(vertex),
                                    why=f"#{self._first + new[0]}, which it lies on, would run")
        is_unknown = self._predictions[blocking].fate is Fate.UNKNOWN
        return self._unknown(index, vertex, f"depends on #{self._first + blocking}" if is_unknown else
                             f"a hit if #{self._first + blocking} leaves what it needs as it was")

    def _is_new(self, index: int) -> bool:
        """Whether nothing was ever built on the layer that the vertex will have: its key is new, and it is no RUN that
        may turn out to make the same files as an earlier one, and so the same layer."""
        vertex, store = self._plan.vertices[index], self._resources.store
        if store.get_record(self._predictions[index].key) is not None:
            return False
        return not isinstance(vertex.op, Run) or self._history(vertex) is None

    def _maybe_the_same(self, index: int) -> int | None:
        """The step below that would run and may bring back a layer that there was; None if a new one lies above it."""
        for below in parents(self._plan, index):
            if self._predictions[below].fate is Fate.MISS:
                return None if self._is_new(below) else below
        return None

    def _unknown(self, index: int, vertex: Vertex, why: str) -> Prediction:
        return self._prediction(index, vertex, Fate.UNKNOWN, why=why, took=self._history(vertex))

    def _history(self, vertex: Vertex) -> float | None:
        found = self._resources.cache.earlier(kind_of(vertex.op), instruction_of(vertex), 1)
        return found[0].seconds if found else None

    def _prediction(self, index: int, vertex: Vertex, fate: Fate, *, why: str = "", key: str = "",
                    took: float | None = None) -> Prediction:
        return Prediction(vertex=index, name=vertex.name, fate=fate, why=why, key=key, took=took,
                          inputs=vertex.inputs, internal=is_internal(vertex))


def key_lines(forecast: Forecast) -> str:
    """A line a vertex: its number, its cache key as far as it is known by now, its name."""
    without = {Fate.HIT: "(identified by what it holds)", Fate.FETCH: "(identified by what it holds)"}
    lines = []
    for one in forecast.predictions:
        key = one.key or without.get(one.fate, "(known when its inputs are made)")
        lines.append(f"#{one.vertex} {key:64} {one.name}\n")
    return "".join(lines)
