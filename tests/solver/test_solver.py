"""The life of one vertex: hit, miss with its reason, one flight for equal keys, failure, interruption, cut-off."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import msgspec
import pytest

from builder.errors import BuilderError, RunFailed
from builder.plan import vertices as v
from builder.solver import events
from builder.store import Store
from builder.store.builds import Origin, find_build
from tests.solver.solving import CONTEXT, Solving, copy, last_layer, layers, plan, run

UNKNOWN = "no earlier build of this step"


@pytest.fixture
def solving(tmp_path: Path) -> Solving:
    return Solving(tmp_path)


def test_a_miss_runs_and_the_next_build_finds_it(solving: Solving) -> None:
    (solving.context / "f").write_text("1")
    first = solving.solve(plan(CONTEXT, copy("f")))
    assert (solving.states(), solving.reasons(), solving.ended(1)) == (["cached", "run"], [UNKNOWN], ["VertexDone"])
    second = solving.solve(plan(CONTEXT, copy("f")))
    assert (solving.states(), solving.reasons(), solving.ended(1)) == (["cached", "cached"], [], ["VertexCached"])
    assert layers(first, 1) == layers(second, 1)


def test_a_miss_says_what_changed(solving: Solving) -> None:
    (solving.context / "f").write_text("1")
    solving.solve(plan(CONTEXT, copy("f")))
    (solving.context / "f").write_text("2")
    solving.solve(plan(CONTEXT, copy("f")))
    assert solving.reasons() == ["1 file changed: f"]
    assert solving.outcomes[1].why == "1 file changed: f", "the record has it too"


def test_a_miss_is_not_compared_with_another_origin(tmp_path: Path) -> None:
    for number in range(2):
        solving = Solving(tmp_path, Origin(context=f"/project{number}"))
        (solving.context / "f").write_text(str(number))
        solving.solve(plan(CONTEXT, copy("f")))
        assert solving.reasons() == [UNKNOWN]


def test_equal_content_is_a_hit_whatever_its_name_in_the_record_was(solving: Solving) -> None:
    (solving.context / "f").write_text("1")
    solving.solve(plan(CONTEXT, copy("f", name="one")))
    solving.solve(plan(CONTEXT, copy("f", name="other")))
    assert solving.states() == ["cached", "cached"]


def test_no_cache_runs_again_and_replaces_what_was_recorded(solving: Solving) -> None:
    (solving.context / "f").write_text("1")
    vertex = copy("f")
    first = solving.solve(plan(CONTEXT, vertex))
    again = solving.solve(plan(CONTEXT, msgspec.structs.replace(vertex, ignore_cache=True)))
    assert solving.states() == ["cached", "run"]
    assert layers(again, 1) != layers(first, 1)
    assert layers(solving.solve(plan(CONTEXT, vertex)), 1) == layers(again, 1)


def test_two_builds_of_one_key_make_one_layer(tmp_path: Path) -> None:
    (tmp_path / "context").mkdir()
    for number in range(200):
        (tmp_path / "context" / f"f{number}").write_text("x" * 2000)
    builds = [Solving(tmp_path) for _ in range(4)]
    made: list[str] = []

    def build(solving: Solving) -> None:
        made.append(last_layer(solving.solve(plan(CONTEXT, copy(".", to="/d/")))))

    threads = [threading.Thread(target=build, args=(solving,)) for solving in builds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4 and len(set(made)) == 1
    assert sorted(solving.outcomes[1].state for solving in builds) == ["cached", "cached", "cached", "run"]


def test_a_failure_ends_the_solving_and_what_was_done_stays(solving: Solving) -> None:
    (solving.context / "f").write_text("1")
    good, bad = copy("f"), copy("missing", inputs=(1, 0), name="[3/3] COPY missing /")
    with pytest.raises(BuilderError, match="missing"):
        solving.solve(plan(CONTEXT, good, bad, copy("f", to="/after/", inputs=(2, 0))))
    assert solving.states() == ["cached", "run", "failed"], "what comes after was never begun"
    assert (solving.ended(1), solving.ended(2), solving.ended(3)) == (["VertexDone"], ["VertexFailed"], [])
    solving.solve(plan(CONTEXT, good))
    assert solving.states() == ["cached", "cached"]


def test_a_missing_input_is_solved_once_for_all_who_need_it(solving: Solving) -> None:
    (solving.context / "f").write_text("1")
    solving.solve(plan(CONTEXT, copy("f"), copy("f", to="/a/", inputs=(1, 0)), copy("f", to="/b/", inputs=(1, 0))))
    assert solving.states() == ["cached", "run", "run", "run"]
    assert len(solving.reasons()) == 3


def test_an_interruption_is_recorded_with_its_reason(solving: Solving) -> None:
    (solving.context / "f").write_text("1")

    def interrupt(event: events.AnyEvent) -> None:
        solving.events.append(event)
        if isinstance(event, events.VertexStarted) and event.why:
            raise KeyboardInterrupt  # as the handler of a signal does, in whatever the main thread is at

    solving.on_event = interrupt
    with pytest.raises(KeyboardInterrupt):
        solving.solve(plan(CONTEXT, copy("f")))
    assert solving.states() == ["cached", "cancelled"]
    assert solving.ended(1) == ["VertexCancelled"]


def busybox_and(solving: Solving, *vertices: v.Vertex) -> v.Plan:
    solving.put_busybox()
    return plan(CONTEXT, copy("busybox", name="[1/3] COPY busybox /"), *vertices)


@pytest.mark.root
def test_a_failed_run_is_told_of_by_the_next_build(solving: Solving) -> None:
    def failing(script: str) -> v.Plan:
        return busybox_and(solving, run(script, 1))

    with pytest.raises(RunFailed):
        solving.solve(failing("/busybox test 1 = 2"))
    assert solving.states()[-1] == "failed" and solving.outcomes[2].layer is not None, "its files are kept"
    with pytest.raises(RunFailed):
        solving.solve(failing("/busybox test 1 = 2"))
    assert solving.reasons() == ["it failed last time, and nothing changed since"]
    solving.solve(failing("/busybox test 2 = 2"))
    assert solving.reasons() == [
        "it failed last time; instruction changed: `/busybox test 1 = 2` -> `/busybox test 2 = 2`"]
    with Store.open(str(solving.root)) as store:
        assert [step.outcome for step in find_build(store).steps] == ["cached", "cached", "run"]


@pytest.mark.root
def test_a_failure_cancels_what_runs_beside_it(solving: Solving) -> None:
    with pytest.raises(RunFailed):
        solving.solve(busybox_and(solving, run("/busybox sleep 100", 1), run("/busybox sleep 1; exit 7", 1)))
    assert solving.states() == ["cached", "run", "cancelled", "failed"]
    assert 0 < solving.outcomes[2].seconds < 60


@pytest.mark.root
def test_a_run_that_changes_the_same_keeps_its_layer_and_cuts_off(solving: Solving) -> None:
    def built(value: str) -> v.Plan:
        return busybox_and(solving, run("echo same > /out", 1, env=(f"A={value}",)), run("echo more > /more", 2))

    first = solving.solve(built("1"))
    second = solving.solve(built("2"))
    assert solving.states() == ["cached", "cached", "run", "cached"]
    assert layers(first, 3) == layers(second, 3)


@pytest.mark.root
def test_a_failure_ends_the_reading_of_files_beside_it(solving: Solving) -> None:
    """2 TiB of zeros: reading them for the key takes an hour."""
    solving.put_busybox()
    with open(solving.context / "zeros", "wb") as file:
        file.truncate(2 << 40)
    started = time.monotonic()
    with pytest.raises(RunFailed):
        solving.solve(plan(CONTEXT, copy("busybox"), copy("zeros"), run("/busybox false", 1), copy("/", inputs=(3, 2))))
    assert solving.states() == ["cached", "run", "cancelled", "failed"]
    assert time.monotonic() - started < 10


@pytest.mark.root
def test_secrets_are_not_keyed_and_missing_ones_fail_before_the_step(solving: Solving) -> None:
    mounts = (v.SecretMount(id="token", target="/token", required=True),)
    what = busybox_and(solving, run("/busybox cat /token > /out", 1, mounts=mounts))
    with pytest.raises(BuilderError, match="token"):
        solving.solve(what)
    solving.solve(what, secrets={"token": b"one"})
    solving.solve(what, secrets={"token": b"two"})
    assert solving.states()[-1] == "cached"
