"""Schedules a plan: every vertex becomes a result, independent ones at the same time.

The solver knows vertices and results, never Dockerfiles; `vertex` has the life of one. A vertex that is ready while
nothing else is runs on the calling thread: a build that finds everything in the cache starts no thread at all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from builder.oci import BlobForm
from builder.plan.vertices import Plan, SourceContext
from builder.solver.resources import Resources
from builder.solver.results import Result
from builder.solver.vertex import Outcome, Solving, VertexSolver
from builder.solver.workers import Workers

if TYPE_CHECKING:
    from builder.solver.remoteresults import RemoteResults


class Solver:
    """Solves one plan once. `first` numbers its vertices in events, so several plans can share one event stream.

    With `form` nothing but blobs of that form is wanted of the plan's output. `remote` is what remote caches have.

    `record` is called once per vertex with how it ended, in the thread that solved it; `began`, before that, with each
    vertex that starts to run.
    """

    def __init__(self, plan: Plan, resources: Resources, *, jobs: int, first: int = 0, form: BlobForm | None = None,
                 remote: RemoteResults | None = None, record: Callable[[Outcome], None] = lambda outcome: None,
                 began: Callable[[Outcome], None] = lambda outcome: None) -> None:
        self._plan = plan
        self._resources = resources
        self._jobs = jobs
        self._skipped = remote.skipped if remote is not None else frozenset[int]()
        self._results: dict[int, Result] = {}
        self._solving = Solving(plan=plan, resources=resources, results=self._results, first=first, form=form,
                                remote=remote, record=record, began=began)

    def solve(self) -> dict[int, Result]:
        """The results of all vertices that are needed, by index.

        Raises the first BuilderError, after the steps that ran beside it were ended; what was finished stays cached.
        """
        self._use_contexts()
        users, missing = self._edges()
        ready = deque(index for index, count in missing.items() if count == 0)
        for index in sorted(self._skipped):
            VertexSolver(index, self._solving).pass_over()
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

    def _use_contexts(self) -> None:
        """There is nothing to do for them; as vertices that are ready beside the base image they would need threads."""
        for index, vertex in enumerate(self._plan.vertices):
            if isinstance(vertex.op, SourceContext) and index not in self._skipped:
                self._results[index] = VertexSolver(index, self._solving).use_context(vertex.op)

    def _edges(self) -> tuple[dict[int, list[int]], dict[int, int]]:
        """Of the vertices without a result yet: which of them need each, and how many each waits for."""
        todo = [i for i in range(len(self._plan.vertices)) if i not in self._skipped and i not in self._results]
        users: dict[int, list[int]] = {index: [] for index in todo}
        missing = {}
        for index in todo:
            needed = set(self._plan.vertices[index].inputs) & users.keys()
            missing[index] = len(needed)
            for other in needed:
                users[other].append(index)
        return users, missing

    def _attempt(self, index: int) -> Result | BaseException:
        try:
            return VertexSolver(index, self._solving).solve()
        except BaseException as error:
            return error
