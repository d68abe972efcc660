from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.store import Store
from builder.store.builds import BuildId, BuildMissing, BuildState, Outcome, Step


def test_a_build(store: Store) -> None:
    build = store.begin_build(name="app", context="/src", dockerfile="Dockerfile", target="web", platform="linux/amd64")
    assert store.get_build(build).state is BuildState.RUNNING
    steps = (Step(ordinal=2, name="RUN b", outcome=Outcome.RUN, key="k", why="1 file added: x", seconds=1.5),
             Step(ordinal=1, name="RUN a", outcome=Outcome.CACHED))
    for step in steps:
        store.add_step(build, step)
    store.end_build(build, BuildState.DONE, image="sha256:abc")
    record = store.get_build(build)
    assert record.steps == steps
    assert (record.name, record.context, record.target, record.state) == ("app", "/src", "web", BuildState.DONE)
    assert (record.image, record.error) == ("sha256:abc", "")
    assert record.ended >= record.started > 0


def test_latest_first(store: Store) -> None:
    ids = [store.begin_build(name=str(n)) for n in range(3)]
    assert len(set(ids)) == 3
    assert {build.id for build in store.builds()} == set(ids)
    assert len(store.builds(limit=2)) == 2
    started = [build.started for build in store.builds()]
    assert [f"{int(time * 1000):011x}" for time in started] == [build.id[:11] for build in store.builds()]
    assert sorted(store.build_ids(), reverse=True) == store.build_ids()


def test_log_path(store: Store) -> None:
    build = store.begin_build()
    Path(store.log_path(build, 3)).write_text("output\n")
    assert os.listdir(store.path("logs")) == [build]


def test_running_until_the_session_ends(store: Store) -> None:
    with Store.open(store.root) as other:
        build = other.begin_build()
        assert store.get_build(build).state is BuildState.RUNNING
    assert store.get_build(build).state is BuildState.KILLED


@pytest.mark.parametrize("build", ["", "..", "../stage", "0" * 17, "x"])
def test_missing(store: Store, build: str) -> None:
    for call in (store.get_build, lambda id: store.end_build(id, BuildState.DONE)):
        with pytest.raises(BuildMissing, match="there is no record of build"):
            call(BuildId(build))


def test_a_half_written_step_is_skipped(store: Store) -> None:
    build = store.begin_build()
    store.add_step(build, Step(ordinal=1, name="RUN a", outcome=Outcome.RUN))
    with open(store.path("logs", build, "steps.jsonl"), "ab") as file:
        file.write(b'{"ordinal":2,"na')
    assert [step.name for step in store.get_build(build).steps] == ["RUN a"]
