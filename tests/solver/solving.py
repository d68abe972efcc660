"""A plan, solved with a real store: what the tests of the solver share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from builder.builds.recording import step_of
from builder.cache.stepcache import Cache
from builder.context.fingerprints import Fingerprints
from builder.context.local import LocalContext
from builder.oci import ImageConfig
from builder.plan import vertices as v
from builder.platforms import host_platform
from builder.sandbox import open_sandbox
from builder.solver import events
from builder.solver.resources import Resources
from builder.solver.results import Result, Snapshot
from builder.solver.solver import Solver
from builder.solver.vertex import Outcome
from builder.store import Store
from builder.store.builds import BuildState, Origin

BUSYBOX = next((path for path in ("/bin/busybox", "/usr/bin/busybox") if os.path.exists(path)), "")
CONTEXT = v.Vertex(op=v.SourceContext(name="context"), name="context")


def copy(*paths: str, to: str = "/", inputs: tuple[int, ...] = (0,), name: str = "") -> v.Vertex:
    """COPY from vertex `inputs[-1]`, over `inputs[0]` where there are two."""
    op = v.Copy(sources=(v.CopySource(input=len(inputs) - 1, paths=paths),), destination=to,
                has_parent=len(inputs) > 1)
    return v.Vertex(op=op, inputs=inputs, name=name or f"[2/3] COPY {' '.join(paths)} {to}")


def run(script: str, below: int, **fields: object) -> v.Vertex:
    op = v.Run(argv=("/busybox", "sh", "-c", script), env=(), cwd="/", has_parent=True)
    return v.Vertex(op=msgspec.structs.replace(op, **fields), inputs=(below,), name=f"[3/3] RUN {script}")


def plan(*vertices: v.Vertex) -> v.Plan:
    return v.Plan(vertices=vertices, output=len(vertices) - 1, config=ImageConfig(), history=(),
                  platform=host_platform())


class Solving:
    """One folder with a store and a context; each `solve` is a build."""

    def __init__(self, folder: Path, origin: Origin | None = None) -> None:
        self.context = folder / "context"
        self.context.mkdir(exist_ok=True)
        self.root = folder / "root"
        self.events: list[events.AnyEvent] = []
        self.outcomes: dict[int, Outcome] = {}
        self.on_event: Callable[[events.AnyEvent], None] = self.events.append
        self._origin = origin or Origin(context=str(self.context))

    def solve(self, what: v.Plan, *, jobs: int = 4,
              secrets: Mapping[str, bytes] | None = None) -> dict[int, Result]:
        """Raises what the solver raises; the record of the build has its steps in any case."""
        self.events.clear()
        self.outcomes = {}
        with Store.open(str(self.root)) as store, store.lease():
            build = store.begin_build(name="test", origins=(self._origin,))

            def record(outcome: Outcome) -> None:
                assert outcome.vertex not in self.outcomes, "a vertex ends once"
                self.outcomes[outcome.vertex] = outcome
                store.add_step(build, step_of(what, outcome, 0, {}))

            resources = Resources(
                store=store, cache=Cache(store), fingerprints=Fingerprints(store.secret, store), build=build,
                sandbox=lambda: open_sandbox(runtime="builtin", state_dir=str(self.root / "sandbox"),
                                             xattr=store.xattr_prefix),
                contexts={"context": LocalContext(str(self.context))}, secret=(secrets or {}).get,
                ssh_socket=lambda _: None, fetch_image=lambda *_: (), emit=lambda event: self.on_event(event),
                origins=(self._origin,))
            try:
                return Solver(what, resources, jobs=jobs, record=record).solve()
            finally:
                resources.close()
                store.end_build(build, BuildState.DONE)

    def states(self) -> list[str]:
        """How the vertices ended, by number."""
        return [self.outcomes[vertex].state for vertex in sorted(self.outcomes)]

    def reasons(self) -> list[str]:
        """Why steps ran, in their order; contexts need no reason."""
        return [event.why for event in self.events if isinstance(event, events.VertexStarted) and event.why]

    def ended(self, vertex: int) -> list[str]:
        """The kinds of the events that ended a vertex."""
        kinds = (events.VertexCached, events.VertexDone, events.VertexFailed, events.VertexCancelled)
        return [type(event).__name__ for event in self.events if isinstance(event, kinds) and event.vertex == vertex]

    def put_busybox(self) -> None:
        shutil.copy(BUSYBOX, self.context / "busybox")


def last_layer(results: Mapping[int, Result]) -> str:
    result = results[max(results)]
    assert isinstance(result, Snapshot)
    return result.layers[-1]


def layers(results: Mapping[int, Result], vertex: int) -> Sequence[str]:
    result = results[vertex]
    assert isinstance(result, Snapshot)
    return result.layers
