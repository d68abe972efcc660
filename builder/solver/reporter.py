"""Numbers vertices across one build and tells views about the parts that are not in a plan."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from builder.errors import BuilderError
from builder.plan.vertices import Plan
from builder.solver import events
from builder.solver.lineage import is_internal


class Progress:
    """One build's event stream; events are handed on one at a time, whatever thread they come from.

    Every vertex that is announced ends before the build does: what a failure leaves is cancelled.
    """

    def __init__(self, receive: events.Emit | None) -> None:
        self._receive = receive
        self._lock = threading.Lock()
        self._count = 1  # as docker numbers them: 0 is the build itself
        self._open: set[int] = set()
        """Vertices that were announced and have not ended."""

    def emit(self, event: events.AnyEvent) -> None:
        if self._receive is None:
            return
        with self._lock:
            match event:
                case events.VertexNamed():
                    self._open.add(event.vertex)
                case events.VertexCached() | events.VertexDone() | events.VertexFailed() | events.VertexCancelled():
                    self._open.discard(event.vertex)
                case events.BuildDone():
                    for vertex in sorted(self._open):
                        self._receive(events.VertexCancelled(time=event.time, vertex=vertex))
                    self._open.clear()
            self._receive(event)

    @contextmanager
    def internal(self, name: str) -> Iterator[int]:
        """A part of the build that is no instruction, from start to end; yields its number."""
        number = self.reserve(1)
        self.emit(events.VertexNamed(time=time.time(), vertex=number, name=name, internal=True))
        self.emit(events.VertexStarted(time=time.time(), vertex=number))
        try:
            yield number
        except BuilderError as error:
            self.emit(events.VertexFailed(time=time.time(), vertex=number, error=error.message))
            raise
        self.emit(events.VertexDone(time=time.time(), vertex=number))

    def say(self, vertex: int, text: str) -> None:
        """Something that `vertex` did, for its list of what happened."""
        self.emit(events.VertexProgress(time=time.time(), vertex=vertex, item=text, current=0, done=True))

    def name_plan(self, plan: Plan) -> int:
        """Announces a plan's vertices; returns the number of its first."""
        first = self.reserve(len(plan.vertices))
        for index, vertex in enumerate(plan.vertices):
            self.emit(events.VertexNamed(
                time=time.time(), vertex=first + index, name=vertex.name, location=vertex.location,
                inputs=tuple(first + needed for needed in vertex.inputs),
                internal=is_internal(vertex)))
        return first

    def of_target(self, target: str) -> Progress:
        """The part of one target: what it names begins with the target's name; "" for a run of one target."""
        return _TargetProgress(self, target) if target else self

    def reserve(self, count: int) -> int:
        with self._lock:
            first = self._count
            self._count += count
        return first


class _TargetProgress(Progress):
    """Names vertices for one of several targets; numbers and receiver are those of the whole."""

    def __init__(self, whole: Progress, target: str) -> None:
        super().__init__(None)
        self._whole = whole
        self._target = target

    def emit(self, event: events.AnyEvent) -> None:
        if isinstance(event, events.VertexNamed):
            event = msgspec.structs.replace(event, name=with_target(self._target, event.name))
        self._whole.emit(event)

    def reserve(self, count: int) -> int:
        return self._whole.reserve(count)


def with_target(target: str, name: str) -> str:
    """`[build 1/2] RUN make` of the target `app` is `[app build 1/2] RUN make`, as buildx has it."""
    return f"[{target} {name[1:]}" if name.startswith("[") else f"[{target}] {name}"


def transfer_of(vertex: int, emit: events.Emit, started: threading.Event | None = None) -> events.Transfer:
    """Shows a transfer under a vertex, which starts with the first report unless `started` is set; it is set then."""
    started = started or threading.Event()

    def report(item: str, current: int, total: int, done: bool) -> None:
        if not started.is_set():
            started.set()
            emit(events.VertexStarted(time=time.time(), vertex=vertex))
        emit(events.VertexProgress(time=time.time(), vertex=vertex, item=item, current=current, total=total, done=done))

    return report
