"""Which step of an earlier build a step is compared with."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.cache.explain import FAILED, INTERRUPTED, Attempt
from builder.oci import ImageConfig
from builder.plan.vertices import MakeDirectory, Plan, Run, Vertex
from builder.platforms import host_platform
from builder.solver.pastbuilds import History
from builder.store import Store
from builder.store.builds import BuildId, BuildState, Origin, Outcome, Step

HERE = Origin(context="/src")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "root")) as opened:
        yield opened


def built(store: Store, *names: str, origins: tuple[Origin, ...] = (HERE,), outcome: Outcome = Outcome.RUN,
          mark: str = "") -> BuildId:
    """Records a build of RUN steps; the key of each is its name with the mark."""
    time.sleep(0.002)  # ids of builds sort by the millisecond
    build = store.begin_build(origins=origins)
    for ordinal, name in enumerate(names):
        store.add_step(build, Step(ordinal=ordinal, name=name, outcome=outcome, key=f"{name}{mark}", kind="run"))
    store.end_build(build, BuildState.DONE)
    return build


def planned(*names: str) -> Plan:
    op = Run(argv=("x",), env=(), cwd="/", has_parent=False)
    return Plan(vertices=tuple(Vertex(op=op, name=name) for name in names), output=None, config=ImageConfig(),
                history=(), platform=host_platform())


def earlier(store: Store, *names: str, at: int = 0, origins: tuple[Origin, ...] = (HERE,)) -> list[str]:
    return [attempt.key for attempt in History(store, origins, BuildId("")).attempts(planned(*names), at)]


def test_the_same_instruction_of_the_same_stage_latest_first(store: Store) -> None:
    for mark in (" one", " two"):
        built(store, "[a 1/2] RUN x", "[b 1/2] RUN x", mark=mark)
    assert earlier(store, "[b 4/9] RUN x") == ["[b 1/2] RUN x two", "[b 1/2] RUN x one"]


def test_another_origin_counts_for_nothing(store: Store) -> None:
    built(store, "[1/1] RUN x", origins=(Origin(context="/other"),))
    built(store, "[1/1] RUN x", origins=(Origin(context="/src", dockerfile="/src/Other"),))
    built(store, "[1/1] RUN x", origins=())
    assert earlier(store, "[1/1] RUN x") == []
    assert earlier(store, "[1/1] RUN x", origins=()) == []


def test_a_tag_in_common_makes_one_origin(store: Store) -> None:
    built(store, "[1/1] RUN x", origins=(Origin(context="/checkout1", tags=("app", "app:1")),))
    assert earlier(store, "[1/1] RUN x", origins=(Origin(context="/checkout2", tags=("app:1",)),)) == ["[1/1] RUN x"]
    assert earlier(store, "[1/1] RUN x", origins=(Origin(context="/checkout2", tags=("app:2",)),)) == []


def test_standard_input_is_no_place_that_two_builds_share(store: Store) -> None:
    built(store, "[1/1] RUN x", origins=(Origin(context="-"),))
    assert earlier(store, "[1/1] RUN x", origins=(Origin(context="-"),)) == []


def test_a_step_is_no_version_of_one_that_is_still_there(store: Store) -> None:
    built(store, "[1/1] RUN cp a /x")
    assert earlier(store, "[1/2] RUN cp a /x", "[2/2] RUN cp b /x", at=1) == []
    assert earlier(store, "[1/2] RUN cp c /x", "[2/2] RUN true", at=0) == ["[1/1] RUN cp a /x"], "it was reworded"
    assert earlier(store, "[1/2] RUN something else entirely", at=0) == []


def test_repeated_instructions_are_told_apart_by_their_order(store: Store) -> None:
    build = store.begin_build(origins=(HERE,))
    for ordinal, key in ((1, "second"), (0, "first")):  # as they ended
        name = f"[{ordinal}/2] RUN x"
        store.add_step(build, Step(ordinal=ordinal, name=name, outcome=Outcome.RUN, key=key, kind="run"))
    store.end_build(build, BuildState.DONE)
    names = ("[1/3] RUN x", "[2/3] RUN x", "[3/3] RUN x")
    assert [earlier(store, *names, at=at) for at in range(3)] == [["first"], ["second"], []]


def test_a_renamed_stage_is_found_by_its_instructions(store: Store) -> None:
    built(store, "[one 1/1] RUN x", "[two 1/1] RUN x")
    assert earlier(store, "[one 1/1] RUN x", "[second 1/1] RUN x", at=1) == ["[two 1/1] RUN x"]


def test_another_kind_of_step_is_no_version(store: Store) -> None:
    built(store, "[1/1] RUN x")
    plan = planned()
    vertex = Vertex(op=MakeDirectory(path="/x"), name="[1/1] RUN x")
    plan = Plan(vertices=(vertex,), output=None, config=plan.config, history=(), platform=plan.platform)
    assert History(store, (HERE,), BuildId("")).attempts(plan, 0) == []


def test_how_it_ended_is_told(store: Store) -> None:
    for outcome in (Outcome.RUN, Outcome.FAILED, Outcome.CANCELLED, Outcome.CACHED):
        built(store, "[1/1] RUN x", outcome=outcome, mark=f" {outcome}")
    attempts = History(store, (HERE,), BuildId("")).attempts(planned("[1/1] RUN x"), 0)
    assert [attempt.ended for attempt in attempts] == ["", INTERRUPTED, FAILED, ""]


def test_the_running_build_is_not_its_own_past(store: Store) -> None:
    build = built(store, "[1/1] RUN x")
    assert History(store, (HERE,), build).attempts(planned("[1/1] RUN x"), 0) == []


def test_a_target_of_many_is_compared_with_itself_alone_or_among_others(store: Store) -> None:
    web, api = Origin(context="/web", name="web"), Origin(context="/api", name="api")
    built(store, "[web 1/1] RUN x", "[api 1/1] RUN x", origins=(web, api))
    assert earlier(store, "[1/1] RUN x", origins=(Origin(context="/api"),)) == ["[api 1/1] RUN x"]
    built(store, "[1/1] RUN x", origins=(Origin(context="/web"),), mark=" alone")
    names = ("[web 1/1] RUN x", "[api 1/1] RUN x")
    assert earlier(store, *names, at=0, origins=(web, api)) == ["[1/1] RUN x alone", "[web 1/1] RUN x"]
    assert earlier(store, *names, at=1, origins=(web, api)) == ["[api 1/1] RUN x"]


def test_a_killed_step_is_an_interrupted_one(store: Store) -> None:
    build = store.begin_build(origins=(HERE,))
    store.add_step(build, Step(ordinal=0, name="[1/1] RUN x", outcome=Outcome.RUNNING, key="k", kind="run"))
    assert History(store, (HERE,), BuildId("")).attempts(planned("[1/1] RUN x"), 0) == [], "it runs"
    store.end_build(build, BuildState.KILLED)
    assert History(store, (HERE,), BuildId("")).attempts(planned("[1/1] RUN x"), 0) == [Attempt("k", INTERRUPTED)]
