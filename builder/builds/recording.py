"""What a build's record says: its steps, in a form from which their containers can be made again, and its phases."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import msgspec

from builder.cache.key import encode, kind_of
from builder.context.local import LocalContext
from builder.errors import Cancelled
from builder.layer.tree import FileTree
from builder.plan.vertices import AnyOp, MakeDirectory, Plan, Run, SourceContext
from builder.solver import events
from builder.solver.lineage import has_parent, is_internal
from builder.solver.reporter import Progress
from builder.solver.vertex import Outcome
from builder.store import Store
from builder.store.builds import NO_OP, BuildId, BuildState, Origin, Phase, Step
from builder.store.builds import Outcome as StepOutcome


class Recording:
    """One build's record, and what its end brings with it. `of_build` is entered once."""

    def __init__(self, store: Store, progress: Progress) -> None:
        self.phases = Phases()
        self.image = ""
        """Digest of the image that came of it, if one did."""
        self._store = store
        self._progress = progress
        self._has_run = False
        """Whether a step ran, so that the store has grown."""

    @contextmanager
    def of_build(self, *, name: str, origins: tuple[Origin, ...], context: str = "", dockerfile: str = "",
                 target: str = "", platform: str = "") -> Iterator[BuildId]:
        """Holds a lease; the record says how the block ended. Afterwards the store is collected if it has grown."""
        store = self._store
        with store.lease():
            build = store.begin_build(name=name, context=context, dockerfile=dockerfile, target=target,
                                      platform=platform, origins=origins)
            self._progress.emit(events.BuildStarted(time=time.time(), build=build))
            try:
                yield build
            except BaseException as error:
                is_cancelled = isinstance(error, Cancelled | KeyboardInterrupt)
                self._end(build, BuildState.CANCELLED if is_cancelled else BuildState.FAILED, str(error))
                from builder.store.gc import drop_failed_layers

                drop_failed_layers(store)
                raise
            self._end(build, BuildState.DONE)
        if self._has_run:
            from builder.store.gc import gc

            gc(store)

    def steps(self, build: BuildId, plan: Plan, first: int, trees: Mapping[str, FileTree]) -> Callable[[Outcome], None]:
        """To be called with each vertex of the plan when it ends; `first` and `trees` are as in `step_of`."""

        def record(outcome: Outcome) -> None:
            self._has_run |= outcome.state != "cached"
            self._store.add_step(build, step_of(plan, outcome, first, trees))

        return record

    def began(self, build: BuildId, plan: Plan, first: int) -> Callable[[Outcome], None]:
        """To be called with each vertex that starts to run: what is known of it should this process be killed."""

        def record(outcome: Outcome) -> None:
            self._store.add_step(build, step_of(plan, outcome, first, {}))

        return record

    def _end(self, build: BuildId, state: BuildState, error: str = "") -> None:
        self._store.end_build(build, state, error=error, image=self.image, phases=self.phases.all())
        self._progress.emit(events.BuildDone(time=time.time(), build=build, ok=state is BuildState.DONE))


class Phases:
    """The times that the parts of a build took."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Adds what the block takes to the phase of that name, also if it raises."""
        started = time.monotonic()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.monotonic() - started

    def all(self) -> tuple[Phase, ...]:
        """In the order in which they began."""
        return tuple(Phase(name, seconds) for name, seconds in self._seconds.items())


def step_of(plan: Plan, outcome: Outcome, first: int, trees: Mapping[str, FileTree]) -> Step:
    """The record of one vertex; `first` numbers the plan's vertices, `trees` are the local contexts by name."""
    vertex = plan.vertices[outcome.vertex]
    op, number = vertex.op, first + outcome.vertex
    tree = trees.get(op.name) if isinstance(op, SourceContext) else None
    return Step(
        ordinal=number, name=vertex.name, outcome=StepOutcome(outcome.state), key=outcome.key, why=outcome.why,
        started=outcome.started, seconds=outcome.seconds, layer=outcome.layer, layers=outcome.layers,
        log=f"{number}.log" if outcome.state != "cached" else "", kind=kind_of(op),
        inputs=tuple(first + needed for needed in vertex.inputs),
        has_parent=has_parent(vertex), internal=is_internal(vertex),
        tree=tree.root if isinstance(tree, LocalContext) else "",
        op=_stored(op))


def _stored(op: AnyOp) -> msgspec.Raw:
    match op:
        case Run():
            return msgspec.Raw(encode(msgspec.structs.replace(op, proxy_env=())))
        case MakeDirectory():
            return msgspec.Raw(encode(op))
    return NO_OP
