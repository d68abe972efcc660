"""The critical path, and what a profile says of times and parallelism."""

from __future__ import annotations

import pytest

from builder.inspection.graph import critical_path, graph_of_build
from builder.inspection.profile import profile_of
from builder.store.builds import Build, BuildId, Outcome, Phase, Step
from builder.store.layers import LayerId


@pytest.mark.parametrize(("seconds", "inputs", "path"), [
    ({}, {}, ()),
    ({1: 0.0, 2: 0.0}, {2: (1,)}, ()),
    ({1: 1.0, 2: 2.0, 3: 1.0}, {3: (1, 2)}, (2, 3)),
    ({1: 5.0, 2: 1.0, 3: 1.0, 4: 1.0}, {2: (1,), 3: (), 4: (3, 2)}, (1, 2, 4)),
    ({1: 1.0, 2: 9.0}, {2: (99,)}, (2,)),  # an input that was never reached
])
def test_critical_path(seconds: dict[int, float], inputs: dict[int, tuple[int, ...]], path: tuple[int, ...]) -> None:
    assert critical_path(seconds, inputs) == path


def step(ordinal: int, name: str, started: float, seconds: float, inputs: tuple[int, ...] = (), **more: object) -> Step:
    outcome = Outcome.RUN if started else Outcome.CACHED
    return Step(ordinal=ordinal, name=name, outcome=outcome, started=started, seconds=seconds, inputs=inputs,
                **more)  # type: ignore[arg-type]


BUILD = Build(id=BuildId("1" * 17), name="app", started=100.0, ended=110.0, phases=(Phase("solve", 8.0),), steps=(
    step(2, "FROM a", 0.0, 0.0, layers=(LayerId("l1"), LayerId("gone"))),
    step(3, "[internal] load build context", 0.0, 0.0, internal=True),
    step(4, "RUN slow", 100.0, 4.0, (2,), layer=LayerId("l2")),
    step(5, "RUN quick", 101.0, 1.0, (2, 3)),
    step(6, "RUN last", 104.0, 4.0, (4, 5)),
))


def test_profile() -> None:
    profile = profile_of(BUILD, {"l1": 10, "l2": 20}.get)
    assert (profile.seconds, profile.busy, profile.critical, profile.peak) == (10.0, 9.0, 8.0, 2)
    assert profile.parallelism == pytest.approx(9 / 8)
    assert [(row.number, row.critical, row.size, row.share) for row in profile.rows] == [
        (2, False, 10, 0.0), (4, True, 20, 0.4), (5, False, None, 0.1), (6, True, None, 0.4)]


def test_profile_of_a_build_that_ran_nothing() -> None:
    build = Build(id=BuildId("1" * 17), name="", started=1.0, ended=1.0, steps=(step(1, "FROM a", 0.0, 0.0),))
    profile = profile_of(build, lambda layer: None)
    assert (profile.busy, profile.parallelism, profile.peak, profile.rows[0].share) == (0.0, 0.0, 0, 0.0)


def test_graph_of_a_build_leaves_out_what_it_never_came_to() -> None:
    nodes = graph_of_build(BUILD).nodes
    assert [node.number for node in nodes if node.critical] == [2, 4, 6]
    partial = Build(id=BuildId("1" * 17), name="", started=1.0, steps=BUILD.steps[2:3])
    assert graph_of_build(partial).nodes[0].inputs == ()
