"""A build as a graph of steps, with what became or would become of each, and its critical path.

The critical path is the chain of steps that takes longest: only what shortens it shortens the build.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from builder.inspection.forecast import Forecast
from builder.store.builds import Build


class Node(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    name: str
    stage: str = ""
    state: str = ""
    """cached, run, failed, ... of a build; hit, miss, fetch or unknown of a forecast."""
    seconds: float | None = None
    """What it took, or takes by experience."""
    inputs: tuple[int, ...] = ()
    critical: bool = False


class Graph(msgspec.Struct, frozen=True):
    title: str
    nodes: tuple[Node, ...]
    """Inputs before those that use them."""


def graph_of_forecast(forecast: Forecast, title: str) -> Graph:
    """All steps that a build would look at, timed by when each last ran."""
    nodes = [Node(number=one.vertex, name=one.name, stage=vertex.stage, state=one.fate.value, seconds=one.took,
                  inputs=one.inputs)
             for one, vertex in zip(forecast.predictions, forecast.plan.vertices, strict=True)]
    return _marked(title, nodes)


def graph_of_build(build: Build) -> Graph:
    """The steps that a build came to."""
    known = {step.ordinal for step in build.steps}
    nodes = [Node(number=step.ordinal, name=step.name, state=step.outcome.value,
                  seconds=step.seconds if step.started else None,
                  inputs=tuple(needed for needed in step.inputs if needed in known))
             for step in sorted(build.steps, key=lambda step: step.ordinal)]
    return _marked(f"build {build.id} of {build.name}", nodes)


def critical_path(seconds: Mapping[int, float], inputs: Mapping[int, Sequence[int]]) -> tuple[int, ...]:
    """The chain that takes longest, first step first; () where nothing takes any time. Inputs have lower numbers."""
    best: dict[int, float] = {}
    before: dict[int, int] = {}
    for number in sorted(seconds):
        known = [needed for needed in inputs.get(number, ()) if needed in best]
        longest = max(known, key=lambda needed: best[needed], default=None)
        best[number] = seconds[number]
        if longest is not None:
            best[number] += best[longest]
            before[number] = longest
    if not any(best.values()):
        return ()
    path = [max(best, key=lambda number: best[number])]
    while path[-1] in before:
        path.append(before[path[-1]])
    return tuple(reversed(path))


def _marked(title: str, nodes: Sequence[Node]) -> Graph:
    path = critical_path({node.number: node.seconds or 0.0 for node in nodes},
                         {node.number: node.inputs for node in nodes})
    return Graph(title, tuple(msgspec.structs.replace(node, critical=node.number in path) for node in nodes))
