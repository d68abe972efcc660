"""Solves a plan: every vertex becomes a result, from the cache or by work, independent ones at the same time.

The solver knows vertices, keys and results, never Dockerfiles. A vertex that is ready while nothing else is runs on the
calling thread: a build that finds everything in the cache starts no thread at all.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from builder.cache.key import CacheKey, Parts, key_of, kind_of
from builder.context.local import LocalContext
from builder.errors import BuilderError, Cancelled, RunFailed, StoreError
from builder.oci import BlobForm, DiffID
from builder.plan.vertices import Copy, Plan, Run, SourceContext, SourceImage, Vertex
from builder.solver import events
from builder.solver.lineage import base_parts, has_parent, instruction_of, words_taken
from builder.solver.ops.exec import RunExecutor
from builder.solver.ops.executor import OpExecutor
from builder.solver.ops.executors import prepare
from builder.solver.ops.remotesource import pull
from builder.solver.resources import Resources
from builder.solver.results import LocalFiles, Result, Snapshot
from builder.solver.steplogs import StepLog
from builder.solver.workers import Workers
from builder.store.layers import LayerId, StagedLayer

if TYPE_CHECKING:
    from builder.sandbox.container import Exit, Output
    from builder.solver.imported import Imported
    from builder.solver.intervention import Decision

_MENDED = "this step failed and was finished by hand: its result is in the image, but never in the cache"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How one vertex was solved, for the record of the build."""

    vertex: int
    key: str = ""
    state: str
    """cached, run, failed, cancelled or mended."""
    why: str = ""
    started: float = 0.0
    seconds: float = 0.0
    layer: LayerId | None = None
    """What it made; for a failed RUN what that had changed."""
    layers: tuple[LayerId, ...] = ()
    """Of an image: its layers."""


class Solver:
    """Solves one plan once. `first` numbers its vertices in events, so several plans can share one event stream.

    With `form` nothing but blobs of that form is wanted of the plan's output. `imported` is what a cache elsewhere has.

    `record` is called once per vertex with how it ended, in the thread that solved it; `began`, before that, with each
    vertex that starts to run.
    """

    def __init__(self, plan: Plan, resources: Resources, *, jobs: int, first: int = 0, form: BlobForm | None = None,
                 imported: Imported | None = None, record: Callable[[Outcome], None] = lambda outcome: None,
                 began: Callable[[Outcome], None] = lambda outcome: None) -> None:
        self._plan = plan
        self._imported = imported
        self._skipped = imported.skipped if imported is not None else frozenset[int]()
        self._form = form
        self._resources = resources
        self._jobs = jobs
        self._first = first
        self._results: dict[int, Result] = {}
        self._record = record
        self._began = began
        self._unfinished: dict[int, Outcome] = {}
        """Of vertices that began to run: how they will have ended should they fail."""

    def solve(self) -> dict[int, Result]:
        """The results of all vertices that are needed, by index.

        Raises the first BuilderError, after the steps that ran beside it were ended; what was finished stays cached.
        """
        vertices = self._plan.vertices
        self._take_contexts()
        inputs = [set(vertex.inputs) - self._skipped - self._results.keys() for vertex in vertices]
        missing = [len(needed) for needed in inputs]
        users: list[list[int]] = [[] for _ in vertices]
        for index in range(len(vertices)):
            if index not in self._skipped:
                for needed in inputs[index]:
                    users[needed].append(index)
        ready = deque(index for index, count in enumerate(missing)
                      if count == 0 and index not in self._skipped and index not in self._results)
        self._pass_over_skipped()
        running = 0
        failure: BaseException | None = None
        workers = Workers(self._attempt)
        try:
            while ready or running:
                while ready and running < self._jobs and failure is None:
                    index = ready.popleft()
                    running += 1
                    if running == 1 and not ready:
                        workers.do(index)
                    else:
                        workers.give(index)
                if not running:
                    break
                index, result = workers.done.get()
                running -= 1
                if isinstance(result, BaseException):
                    if failure is None:
                        failure = result
                        self._resources.cancel()
                    continue
                self._results[index] = result
                for user in users[index]:
                    missing[user] -= 1
                    if missing[user] == 0:
                        ready.append(user)
        except BaseException:
            self._resources.cancel()
            for _ in range(running):
                workers.done.get()
            raise
        finally:
            workers.end()
        if failure is not None:
            raise failure
        return self._results

    def _take_contexts(self) -> None:
        """There is nothing to do for them; as vertices that are ready beside the base image they would need threads."""
        for index, vertex in enumerate(self._plan.vertices):
            if isinstance(vertex.op, SourceContext) and index not in self._skipped:
                self._record(Outcome(vertex=index, state="cached"))
                number, now = self._first + index, time.time()
                self._resources.emit(events.VertexStarted(time=now, vertex=number))
                self._resources.emit(events.VertexDone(time=now, vertex=number))
                tree = self._resources.contexts[vertex.op.name]
                if isinstance(tree, LocalContext):
                    tree = tree.taken_by(words_taken(self._plan, index))
                self._results[index] = LocalFiles(vertex.op.name, tree)

    def _pass_over_skipped(self) -> None:
        for index in sorted(self._skipped):
            self._resources.emit(events.VertexCached(time=time.time(), vertex=self._first + index))
            self._record(Outcome(vertex=index, state="cached"))

    def _attempt(self, index: int) -> Result | BaseException:
        vertex = self._plan.vertices[index]
        number = self._first + index
        emit = self._resources.emit
        try:
            return self._solve(index, vertex)
        except BaseException as error:
            cancelled = isinstance(error, Cancelled | KeyboardInterrupt) or self._resources.cancelled.is_set()
            if cancelled:
                emit(events.VertexCancelled(time=time.time(), vertex=number))
            else:
                if isinstance(error, BuilderError):
                    error.at(vertex.location)
                emit(events.VertexFailed(time=time.time(), vertex=number, error=str(error)))
            if (known := self._unfinished.pop(index, None)) is None:
                known = Outcome(vertex=index, state="failed", started=time.time())
            self._record(msgspec.structs.replace(known, state="cancelled") if cancelled else known)
            return error

    def _solve(self, index: int, vertex: Vertex) -> Result:
        if self._imported is not None and index in self._imported.absent:
            return self._absent(index, vertex, self._imported.layers[index].diff_id)
        if self._imported is not None and index in self._imported.blind:  # it is known by its portable key alone
            layer = self._import(index)
            assert layer is not None, "what is not found elsewhere needs all of its inputs"
            return Snapshot((*self._base(vertex), layer))
        inputs = tuple(self._results[needed] for needed in vertex.inputs)
        if isinstance(vertex.op, SourceImage):
            if self._imported is not None and index in self._imported.unseen:
                return self._unseen(index, vertex.op)
            started = time.time()
            image, was_pulled = pull(vertex.op, self._resources, self._first + index)
            self._record(Outcome(vertex=index, state="run", started=started, seconds=time.time() - started,
                                 layers=image.layers) if was_pulled else
                         Outcome(vertex=index, state="cached", layers=image.layers))
            return image
        is_last = index == self._plan.output and not any(index in other.inputs for other in self._plan.vertices)

        def solve(inputs: Sequence[Result]) -> LayerId:
            work = self._imported.works.get(index) if self._imported is not None else None
            work = work or prepare(vertex.op, inputs, self._resources, self._form if is_last else None)
            try:
                return self._layer(index, vertex, work)
            finally:
                work.close()

        try:
            layer = solve(inputs)
        except (BuilderError, OSError) as error:
            from builder.solver.busyfiles import solve_again

            layer = solve_again(self._resources, inputs, solve, error)
        return Snapshot((*self._base(vertex), layer))

    def _unseen(self, index: int, op: SourceImage) -> Snapshot:
        """The image, by the names that its layers will have once somebody fetches them."""
        layers = tuple(map(self._resources.store.id_of_content, op.diff_ids))
        self._resources.emit(events.VertexCached(time=time.time(), vertex=self._first + index))
        self._record(Outcome(vertex=index, state="cached", layers=layers))
        return Snapshot(layers)

    def _absent(self, index: int, vertex: Vertex, diff_id: DiffID) -> Snapshot:
        """A step that a cache elsewhere knows, by the name that its layer will have once somebody fetches it."""
        layer = self._resources.store.id_of_content(diff_id)
        self._resources.emit(events.VertexCached(time=time.time(), vertex=self._first + index))
        self._record(Outcome(vertex=index, state="cached", layer=layer))
        return Snapshot((*self._base(vertex), layer))

    def _base(self, vertex: Vertex) -> tuple[LayerId, ...]:
        below = self._results[vertex.inputs[0]] if has_parent(vertex) else None
        return below.layers if isinstance(below, Snapshot) else ()

    def _layer(self, index: int, vertex: Vertex, work: OpExecutor) -> LayerId:
        parts = work.parts()
        key = key_of(kind_of(vertex.op), parts)
        layer = None if vertex.ignore_cache else self._cached(index, key)
        if layer is not None:
            return layer
        with self._resources.store.lock(f"key {key}", self._resources.cancelled):
            # another build may have made it while this one waited
            layer = None if vertex.ignore_cache else self._cached(index, key)
            return layer or self._import(index, work, parts, key) or self._run(index, vertex, work, parts, key)

    def _cached(self, index: int, key: CacheKey) -> LayerId | None:
        record = self._resources.cache.lookup(key)
        if record is None:
            return None
        self._resources.emit(events.VertexCached(time=time.time(), vertex=self._first + index))
        self._record(Outcome(vertex=index, key=key, state="cached", layer=record.layer))
        return record.layer

    def _import(self, index: int, work: OpExecutor | None = None, parts: Parts | None = None,
                key: CacheKey | None = None) -> LayerId | None:
        """The layer that another cache has of the vertex. Where its own key is known, that finds it from now on."""
        if self._imported is None or index not in self._imported:
            return None
        resources, vertex = self._resources, self._plan.vertices[index]
        started = time.time()
        try:
            layer = self._imported.fetch(index)
        except BuilderError as error:
            if work is None or resources.cancelled.is_set():
                raise
            resources.emit(events.WarningRaised(time=time.time(), rule="", vertex=self._first + index,
                                                message=f"{error.message}: {error.cause}; it is run instead"))
            return None
        if work is not None and parts is not None and key is not None:
            resources.cache.save(key, kind_of(vertex.op), {**parts, **work.lists(), **base_parts(self._plan, index)},
                                 layer, name=instruction_of(vertex), build=resources.build)
        resources.emit(events.VertexCached(time=time.time(), vertex=self._first + index))
        self._record(Outcome(vertex=index, key=key or "", state="cached", started=started,
                             seconds=time.time() - started, layer=layer))
        return layer

    def _run(self, index: int, vertex: Vertex, work: OpExecutor, parts: Parts, key: CacheKey) -> LayerId:
        resources, number = self._resources, self._first + index
        if self._leads_to_step(index):
            resources.prepare_sandbox()
        name, kind = instruction_of(vertex), kind_of(vertex.op)
        parts = {**parts, **work.lists(), **base_parts(self._plan, index)}
        why = self._explain(index, vertex, parts)
        outcome = Outcome(vertex=index, key=key, state="running", why=why, started=time.time())
        if index not in self._unfinished:  # else files changed under it, and it begins anew
            self._began(outcome)
            resources.emit(events.VertexStarted(time=outcome.started, vertex=number, why=why))
            if isinstance(vertex.op, Copy):
                from builder.solver.ops.ignoredsecrets import warn_of_secrets

                warn_of_secrets(work, vertex, number, resources.emit)
        with (self._keeping_attempt(index, name, kind, parts), StepLog(resources, number) as log,
              resources.store.stage_layer() as staged):
            outcome = self._fill(msgspec.structs.replace(outcome, state="run"), vertex, work, staged, log)
            if resources.cancelled.is_set():
                raise Cancelled("the build was cancelled")
            # Named after its key: made again after a prune it has the same id, and what was built on it is still found.
            # A RUN need not make the same again: its old id would bring layers that stood on other files.
            content = f"key {key}" if outcome.state == "run" and not isinstance(vertex.op, Run) else None
            layer = self._same_as_before(vertex, staged) or staged.commit(
                content=content, fresh=vertex.ignore_cache or resources.cache.is_too_old(key),
                description=vertex.name)
        outcome = msgspec.structs.replace(outcome, layer=layer, seconds=time.time() - outcome.started)
        if outcome.state == "mended":
            resources.emit(events.WarningRaised(time=time.time(), rule="", vertex=number, message=_MENDED))
        if outcome.state == "run":
            resources.cache.save(key, kind, parts, layer, name=name, build=resources.build, seconds=outcome.seconds)
        del self._unfinished[index]
        self._record(outcome)
        resources.emit(events.VertexDone(time=time.time(), vertex=number))
        return layer

    @contextmanager
    def _keeping_attempt(self, index: int, name: str, kind: str, parts: Parts) -> Iterator[None]:
        """Keeps what a step was made of that comes to nothing, so that the next miss can be told of it."""
        try:
            yield
        except BaseException as error:
            known = self._unfinished.get(index)
            if known is not None and isinstance(error, RunFailed | Cancelled | KeyboardInterrupt):
                with contextlib.suppress(StoreError):
                    self._resources.cache.save_attempt(
                        CacheKey(known.key), kind, parts, name=name, build=self._resources.build, seconds=known.seconds,
                        gone="failed" if isinstance(error, RunFailed) else "interrupted")
            raise

    def _explain(self, index: int, vertex: Vertex, parts: Parts) -> str:
        """Why the step runs. What a cache elsewhere knows of the very step says more than what is like it here."""
        if vertex.ignore_cache:
            from builder.cache.explain import NOT_ASKED

            return NOT_ASKED
        told = self._imported.explain(index) if self._imported is not None else ""
        return told or self._resources.why_missed(self._plan, index, parts)

    def _leads_to_step(self, index: int) -> bool:
        """Whether the vertex is a RUN, or one rests on it."""
        vertices = self._plan.vertices
        resting = {index}
        for later in range(index, len(vertices)):
            if later == index or not resting.isdisjoint(vertices[later].inputs):
                if isinstance(vertices[later].op, Run):
                    return True
                resting.add(later)
        return False

    def _same_as_before(self, vertex: Vertex, staged: StagedLayer) -> LayerId | None:
        if not isinstance(vertex.op, Run):
            return None
        from builder.solver.cutoff import same_as_before

        return same_as_before(self._resources, instruction_of(vertex), staged.diff)

    def _fill(self, outcome: Outcome, vertex: Vertex, work: OpExecutor, staged: StagedLayer, log: StepLog) -> Outcome:
        """Has the layer filled, again if a person wants so; the outcome with its start and its state."""
        while True:
            outcome = msgspec.structs.replace(outcome, started=time.time())
            self._unfinished[outcome.vertex] = msgspec.structs.replace(outcome, state="failed")
            try:
                work.fill(staged, log)
                return outcome
            except BaseException as error:
                seconds = time.time() - outcome.started
                failed = msgspec.structs.replace(outcome, state="failed", seconds=seconds)
                self._unfinished[outcome.vertex] = failed
                if not isinstance(error, RunFailed) or not isinstance(work, RunExecutor):
                    raise
                from builder.solver.intervention import Decision

                error.at(vertex.location)
                match self._ask(outcome.vertex, vertex, work, staged, error):
                    case Decision.RETRY:
                        staged.clear()
                    case Decision.CONTINUE:
                        work.settle(staged)
                        return msgspec.structs.replace(outcome, state="mended")
                    case Decision.STOP:
                        self._unfinished[outcome.vertex] = failed = self._keep(failed, vertex, staged)
                        if failed.layer is not None:
                            place = f"@{self._first + failed.vertex}"
                            error.hint = f"`builder debug {place}` opens a shell in it as it failed"
                        raise

    def _ask(self, index: int, vertex: Vertex, work: RunExecutor, staged: StagedLayer, error: RunFailed) -> Decision:
        from builder.solver.intervention import Decision, FailedStep

        resources = self._resources
        if resources.intervene is None or resources.cancelled.is_set():
            return Decision.STOP

        def enter(command: tuple[str, ...], terminal: bool, output: Output, stdin: BinaryIO | None) -> Exit:
            return work.enter(staged, command, output, stdin, terminal=terminal)

        return resources.intervene(FailedStep(vertex=self._first + index, name=vertex.name, error=error, enter=enter,
                                              shell=work.shell(staged), cancelled=resources.cancelled))

    def _keep(self, failed: Outcome, vertex: Vertex, staged: StagedLayer) -> Outcome:
        """Keeps what a failed step had changed, to be looked at later, if there is room for it."""
        content = f"failed {self._resources.build} {self._first + failed.vertex}"
        try:
            layer = staged.commit(content=content, description=f"failed: {vertex.name}")
        except StoreError:
            return failed
        return msgspec.structs.replace(failed, layer=layer)
