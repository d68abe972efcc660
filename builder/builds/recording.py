"""What a build's record says: its steps, in a form from which their containers can be made again, and its phases."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec

from builder.cache.key import encode, kind_of
from builder.context.local import LocalContext
from builder.engine.solver import Outcome
from builder.layer.tree import FileTree
from builder.plan.vertices import AnyOp, MakeDirectory, Plan, Run, SourceContext, SourceInline
from builder.store.builds import NO_OP, Phase, Step
from builder.store.builds import Outcome as StepOutcome

INTERNAL = (SourceContext, SourceInline)
"""Ops that stand for no instruction of their own."""


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
        has_parent=bool(getattr(op, "has_parent", vertex.inputs)), internal=isinstance(op, INTERNAL),
        tree=tree.root if isinstance(tree, LocalContext) else "",
        op=_stored(op))


def _stored(op: AnyOp) -> msgspec.Raw:
    match op:
        case Run():
            return msgspec.Raw(encode(msgspec.structs.replace(op, proxy_env=())))
        case MakeDirectory():
            return msgspec.Raw(encode(op))
    return NO_OP
