"""The life of one vertex: found in the cache, or imported from a remote one, or run and recorded; or it fails.

`VertexSolver._layer` has it on one screen. What happens around it: files that change meanwhile make it begin anew
(`busyfiles`), a RUN that changed nothing new keeps its old layer (`cutoff`), a person may look into one that failed
(`intervention`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from builder.cache.key import CacheKey, Parts, key_of, kind_of
from builder.context.local import LocalContext
from builder.errors import BuilderError, Cancelled, RunFailed, StoreError
from builder.oci import BlobForm, DiffID
from builder.plan.vertices import Copy, Plan, Run, SourceContext, SourceImage
from builder.solver import events
from builder.solver.lineage import base_parts, has_parent, instruction_of, words_taken
from builder.solver.ops.exec import RunExecutor
from builder.solver.ops.executor import OpExecutor
from builder.solver.ops.executors import prepare
from builder.solver.ops.remotesource import pull
from builder.solver.resources import Resources
from builder.solver.results import LocalFiles, Result, Snapshot
from builder.solver.steplogs import StepLog
from builder.store.layers import LayerId, StagedLayer

if TYPE_CHECKING:
    from builder.sandbox.container import Exit, Output
    from builder.solver.intervention import Decision
    from builder.solver.remoteresults import RemoteResults

_MENDED = "this step failed and was finished by hand: its result is in the image, but never in the cache"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How one vertex was solved, for the record of the build."""

    vertex: int
    key: str = ""
    state: str
    """cached, run, failed, cancelled or `mended`."""
    why: str = ""
    started: float = 0.0
    seconds: float = 0.0
    layer: LayerId | None = None
    """Its layer; for a failed RUN what that had changed."""
    layers: tuple[LayerId, ...] = ()
    """Of an image: its layers."""


class Solving(msgspec.Struct, frozen=True, kw_only=True):
    """What the vertices of one plan share while it is solved; see `Solver`."""

    plan: Plan
    resources: Resources
    results: Mapping[int, Result]
    """Of the vertices that are solved; grows."""
    first: int
    form: BlobForm | None
    remote: RemoteResults | None
    record: Callable[[Outcome], None]
    began: Callable[[Outcome], None]


class VertexSolver:
    """One vertex; one of `solve`, `pass_over` and `use_context` is called, once its inputs have their results."""

    def __init__(self, index: int, solving: Solving) -> None:
        self._index = index
        self._number = solving.first + index
        self._vertex = solving.plan.vertices[index]
        self._solving = solving
        self._plan = solving.plan
        self._resources = solving.resources
        self._remote = solving.remote
        self._record = solving.record
        self._unfinished: Outcome | None = None
        """Once it began to run: how it will have ended should it fail."""

    def pass_over(self) -> None:
        """For a vertex that nothing needs, as remote caches have what follows it."""
        self._found()

    def use_context(self, op: SourceContext) -> LocalFiles:
        self._record(Outcome(vertex=self._index, state="cached"))
        now = time.time()
        self._resources.emit(events.VertexStarted(time=now, vertex=self._number))
        self._resources.emit(events.VertexDone(time=now, vertex=self._number))
        tree = self._resources.contexts[op.name]
        if isinstance(tree, LocalContext):
            tree = tree.taken_by(words_taken(self._plan, self._index))
        return LocalFiles(op.name, tree)

    def solve(self) -> Result:
        """Its result. However it ends, an event and the record say so. Raises what the op's executor raises."""
        try:
            return self._solve()
        except BaseException as error:
            self._report_failure(error)
            raise

    def _solve(self) -> Result:
        remote, op = self._remote, self._vertex.op
        if remote is not None and (diff_ids := remote.unfetched.get(self._index)) is not None:
            return self._unfetched(diff_ids)
        if remote is not None and self._index in remote.unkeyed:
            return self._snapshot(self._import(remote))
        if isinstance(op, SourceImage):
            return self._image(op)
        inputs = tuple(self._solving.results[needed] for needed in self._vertex.inputs)
        try:
            layer = self._solve_from(inputs)
        except (BuilderError, OSError) as error:
            from builder.solver.busyfiles import solve_again

            layer = solve_again(self._resources, inputs, self._solve_from, error)
        return self._snapshot(layer)

    def _solve_from(self, inputs: Sequence[Result]) -> LayerId:
        executor = self._remote.executors.get(self._index) if self._remote is not None else None
        executor = executor or prepare(self._vertex.op, inputs, self._resources, self._wanted_form())
        try:
            return self._layer(executor)
        finally:
            executor.close()

    def _layer(self, executor: OpExecutor) -> LayerId:
        parts = executor.parts()
        key = key_of(kind_of(self._vertex.op), parts)
        if layer := self._cached(key):
            return layer
        with self._resources.store.lock(f"key {key}", self._resources.cancelled):
            if layer := self._cached(key):  # another build may have solved it while this one waited
                return layer
            return self._import_keyed(executor, parts, key) or self._run(executor, parts, key)

    # -- found -------------------------------------------------------------------------------------------------------

    def _cached(self, key: CacheKey) -> LayerId | None:
        if self._vertex.ignore_cache or (record := self._resources.cache.lookup(key)) is None:
            return None
        self._found(key=key, layer=record.layer)
        return record.layer

    def _import(self, remote: RemoteResults) -> LayerId:
        """The layer that a remote cache has of the vertex. Raises BuilderError."""
        started = time.time()
        layer = remote.fetch(self._index)
        assert layer is not None, "a vertex that no cache has needs all of its inputs"
        self._found(started=started, seconds=time.time() - started, layer=layer)
        return layer

    def _import_keyed(self, executor: OpExecutor, parts: Parts, key: CacheKey) -> LayerId | None:
        """The same, if there is one, where its own key is known: that finds it from now on. Where it fails, it runs."""
        remote, resources = self._remote, self._resources
        if remote is None:
            return None
        started = time.time()
        try:
            layer = remote.fetch(self._index)
        except BuilderError as error:
            if resources.cancelled.is_set():
                raise
            resources.emit(events.WarningRaised(time=time.time(), rule="", vertex=self._number,
                                                message=f"{error.message}: {error.cause}; it is run instead"))
            return None
        if layer is None:
            return None
        resources.cache.save(key, kind_of(self._vertex.op), self._recorded_parts(executor, parts), layer,
                             name=instruction_of(self._vertex), build=resources.build)
        self._found(key=key, started=started, seconds=time.time() - started, layer=layer)
        return layer

    def _image(self, op: SourceImage) -> Snapshot:
        started = time.time()
        image, was_pulled = pull(op, self._resources, self._number)
        self._record(Outcome(vertex=self._index, state="run", started=started, seconds=time.time() - started,
                             layers=image.layers) if was_pulled else
                     Outcome(vertex=self._index, state="cached", layers=image.layers))
        return image

    def _unfetched(self, diff_ids: Sequence[DiffID]) -> Snapshot:
        """An image, or a step that a remote cache has, by the names that its layers will have once they are fetched."""
        layers = tuple(map(self._resources.store.id_of_content, diff_ids))
        if isinstance(self._vertex.op, SourceImage):
            self._found(layers=layers)
            return Snapshot(layers)
        self._found(layer=layers[-1])
        return self._snapshot(layers[-1])

    def _found(self, *, key: str = "", layer: LayerId | None = None, layers: tuple[LayerId, ...] = (),
               started: float = 0.0, seconds: float = 0.0) -> None:
        self._resources.emit(events.VertexCached(time=time.time(), vertex=self._number))
        self._record(Outcome(vertex=self._index, key=key, state="cached", layer=layer, layers=layers, started=started,
                             seconds=seconds))

    # -- run ---------------------------------------------------------------------------------------------------------

    def _run(self, executor: OpExecutor, parts: Parts, key: CacheKey) -> LayerId:
        resources, vertex = self._resources, self._vertex
        if self._leads_to_step():
            resources.prepare_sandbox()
        name, kind, parts = instruction_of(vertex), kind_of(vertex.op), self._recorded_parts(executor, parts)
        why = self._explain(parts)
        outcome = Outcome(vertex=self._index, key=key, state="running", why=why, started=time.time())
        if self._unfinished is None:  # else files changed under it, and it begins anew
            self._solving.began(outcome)
            resources.emit(events.VertexStarted(time=outcome.started, vertex=self._number, why=why))
            if isinstance(vertex.op, Copy):
                from builder.solver.ops.ignoredsecrets import warn_of_secrets

                warn_of_secrets(executor, vertex, self._number, resources.emit)
        with (self._keeping_attempt(name, kind, parts), StepLog(resources, self._number) as log,
              resources.store.stage_layer() as staged):
            outcome = self._fill(msgspec.structs.replace(outcome, state="run"), executor, staged, log)
            if resources.cancelled.is_set():
                raise Cancelled("the build was cancelled")
            layer = self._commit(staged, key, outcome)
        outcome = msgspec.structs.replace(outcome, layer=layer, seconds=time.time() - outcome.started)
        if outcome.state == "mended":
            resources.emit(events.WarningRaised(time=time.time(), rule="", vertex=self._number, message=_MENDED))
        else:
            resources.cache.save(key, kind, parts, layer, name=name, build=resources.build, seconds=outcome.seconds)
        self._unfinished = None
        self._record(outcome)
        resources.emit(events.VertexDone(time=time.time(), vertex=self._number))
        return layer

    def _commit(self, staged: StagedLayer, key: CacheKey, outcome: Outcome) -> LayerId:
        vertex, is_run = self._vertex, isinstance(self._vertex.op, Run)
        if is_run:
            from builder.solver.cutoff import same_as_before

            if layer := same_as_before(self._resources, instruction_of(vertex), staged.diff):
                return layer
        # Named after its key: made again after a prune it has the same id, and what was built on it is still found.
        # A RUN need not make the same again: its old id would bring layers that stood on other files.
        content = f"key {key}" if outcome.state == "run" and not is_run else None
        return staged.commit(content=content, fresh=vertex.ignore_cache or self._resources.cache.is_too_old(key),
                             description=vertex.name)

    def _fill(self, outcome: Outcome, executor: OpExecutor, staged: StagedLayer, log: StepLog) -> Outcome:
        """Has the layer filled, again if a person wants so; the outcome with its start and its state."""
        while True:
            outcome = msgspec.structs.replace(outcome, started=time.time())
            self._unfinished = msgspec.structs.replace(outcome, state="failed")
            try:
                executor.fill(staged, log)
                return outcome
            except BaseException as error:
                seconds = time.time() - outcome.started
                self._unfinished = failed = msgspec.structs.replace(outcome, state="failed", seconds=seconds)
                if not isinstance(error, RunFailed) or not isinstance(executor, RunExecutor):
                    raise
                from builder.solver.intervention import Decision

                error.at(self._vertex.location)
                match self._ask(executor, staged, error):
                    case Decision.RETRY:
                        staged.clear()
                    case Decision.CONTINUE:
                        executor.settle(staged)
                        return msgspec.structs.replace(outcome, state="mended")
                    case Decision.STOP:
                        self._unfinished = failed = self._keep(failed, staged)
                        if failed.layer is not None:
                            error.hint = f"`builder debug @{self._number}` opens a shell in it as it failed"
                        raise

    # -- failed ------------------------------------------------------------------------------------------------------

    def _report_failure(self, error: BaseException) -> None:
        outcome = self._unfinished or Outcome(vertex=self._index, state="failed", started=time.time())
        if isinstance(error, Cancelled | KeyboardInterrupt) or self._resources.cancelled.is_set():
            self._resources.emit(events.VertexCancelled(time=time.time(), vertex=self._number))
            outcome = msgspec.structs.replace(outcome, state="cancelled")
        else:
            if isinstance(error, BuilderError):
                error.at(self._vertex.location)
            self._resources.emit(events.VertexFailed(time=time.time(), vertex=self._number, error=str(error)))
        self._record(outcome)

    @contextmanager
    def _keeping_attempt(self, name: str, kind: str, parts: Parts) -> Iterator[None]:
        """Keeps the parts of a step that comes to nothing, so that the next miss can be explained by them."""
        try:
            yield
        except BaseException as error:
            known = self._unfinished
            if known is not None and isinstance(error, RunFailed | Cancelled | KeyboardInterrupt):
                with contextlib.suppress(StoreError):
                    self._resources.cache.save_attempt(
                        CacheKey(known.key), kind, parts, name=name, build=self._resources.build, seconds=known.seconds,
                        gone="failed" if isinstance(error, RunFailed) else "interrupted")
            raise

    def _ask(self, executor: RunExecutor, staged: StagedLayer, error: RunFailed) -> Decision:
        from builder.solver.intervention import Decision, FailedStep

        resources = self._resources
        if resources.intervene is None or resources.cancelled.is_set():
            return Decision.STOP

        def enter(command: tuple[str, ...], terminal: bool, output: Output, stdin: BinaryIO | None) -> Exit:
            return executor.enter(staged, command, output, stdin, terminal=terminal)

        return resources.intervene(FailedStep(vertex=self._number, name=self._vertex.name, error=error, enter=enter,
                                              shell=executor.shell(staged), cancelled=resources.cancelled))

    def _keep(self, failed: Outcome, staged: StagedLayer) -> Outcome:
        """Keeps what a failed step had changed, to be looked at later, if there is room for it."""
        content = f"failed {self._resources.build} {self._number}"
        try:
            layer = staged.commit(content=content, description=f"failed: {self._vertex.name}")
        except StoreError:
            return failed
        return msgspec.structs.replace(failed, layer=layer)

    # -- what the plan says about it ---------------------------------------------------------------------------------

    def _snapshot(self, layer: LayerId) -> Snapshot:
        below = self._solving.results[self._vertex.inputs[0]] if has_parent(self._vertex) else None
        return Snapshot((*below.layers, layer) if isinstance(below, Snapshot) else (layer,))

    def _recorded_parts(self, executor: OpExecutor, parts: Parts) -> Parts:
        return {**parts, **executor.lists(), **base_parts(self._plan, self._index)}

    def _wanted_form(self) -> BlobForm | None:
        """The only form in which the layer is wanted, where no step sees it."""
        is_last = self._index == self._plan.output and not any(
            self._index in other.inputs for other in self._plan.vertices)
        return self._solving.form if is_last else None

    def _explain(self, parts: Parts) -> str:
        """Why the step runs. What a remote cache knows of the very step says more than what is like it here."""
        if self._vertex.ignore_cache:
            from builder.cache.explain import NOT_ASKED

            return NOT_ASKED
        why = self._remote.explain(self._index) if self._remote is not None else ""
        return why or self._resources.why_missed(self._plan, self._index, parts)

    def _leads_to_step(self) -> bool:
        """Whether the vertex is a RUN, or one rests on it."""
        vertices = self._plan.vertices
        resting = {self._index}
        for later in range(self._index, len(vertices)):
            if later == self._index or not resting.isdisjoint(vertices[later].inputs):
                if isinstance(vertices[later].op, Run):
                    return True
                resting.add(later)
        return False
