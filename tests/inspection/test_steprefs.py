"""Names of steps, and the layers that stand behind them."""

from __future__ import annotations

import time

import pytest

from builder.inspection.steprefs import AmbiguousPlace, NoFiles, NoSuchPlace, find_step, find_steps, split_path
from builder.store import Store
from builder.store.builds import BuildId, NoBuilds, Outcome, Step
from builder.store.layers import LayerId

IMAGE = Step(ordinal=2, name="[1/4] FROM debian", outcome=Outcome.CACHED, kind="sourceimage",
             layers=(LayerId("base1"), LayerId("base2")))
CONTEXT = Step(ordinal=3, name="[internal] load build context", outcome=Outcome.CACHED, kind="sourcecontext",
               internal=True, tree="/src")
COPY = Step(ordinal=4, name="[2/4] COPY . /src", outcome=Outcome.RUN, kind="copy", inputs=(2, 3), has_parent=True,
            layer=LayerId("copied"))
MAKE = Step(ordinal=5, name="[3/4] RUN make", outcome=Outcome.CACHED, kind="run", inputs=(4,), has_parent=True,
            layer=LayerId("made"))
TEST = Step(ordinal=6, name="[4/4] RUN make test", outcome=Outcome.FAILED, kind="run", inputs=(5,), has_parent=True,
            layer=LayerId("partial"))


@pytest.fixture
def build(store: Store) -> BuildId:
    """The last but one build; the last one has one step, and there is an older one."""
    for steps in ((COPY,), (IMAGE, CONTEXT, COPY, MAKE, TEST), (IMAGE,)):
        time.sleep(0.002)  # ids sort by milliseconds
        build = store.begin_build(name="app")
        for step in steps:
            store.add_step(build, step)
    return store.build_ids()[1]


def test_a_step_is_found_by_its_number_its_name_and_how_it_ended(store: Store, build: BuildId) -> None:
    for text, ordinal in (("@2", 2), ("@last", 2), ("@", 2), ("@from", 2), ("@~1:5", 5), ("@~1:make test", 6),
                          ("@~1:last", 6), ("@~1:last-failed", 6), ("@last-failed", 6), (f"{build}:4", 4),
                          (f"{build[:-1]}:COPY", 4), ("@~2:4", 4)):
        place = find_step(store, text)
        assert place is not None, text
        assert place.step.ordinal == ordinal, text


@pytest.mark.parametrize("text", ["debian", "debian:12", "cafe12:latest", "reg.example:5000/a/b@sha256:" + "0" * 64])
def test_what_is_no_step_may_be_an_image(store: Store, build: BuildId, text: str) -> None:
    assert find_step(store, text) is None


@pytest.mark.parametrize(("text", "error"), [
    ("@7", NoSuchPlace), ("@nothing like it", NoSuchPlace), ("@~9:2", NoSuchPlace), ("@~1:make", AmbiguousPlace)])
def test_steps_that_are_not_there(store: Store, build: BuildId, text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        find_step(store, text)


def test_a_wrong_number_says_which_steps_there_are(store: Store, build: BuildId) -> None:
    with pytest.raises(NoSuchPlace) as raised:
        find_step(store, f"{build}:RUN mkae")
    assert raised.value.hint == "there is `[3/4] RUN make`"


def test_all_steps_with_a_number_or_part_of_a_name(store: Store, build: BuildId) -> None:
    recorded = store.get_build(build)
    assert [step.ordinal for step in find_steps(recorded, "3")] == [3]
    assert [step.ordinal for step in find_steps(recorded, "run MAKE")] == [5, 6]
    with pytest.raises(NoSuchPlace) as raised:
        find_steps(recorded, "RUN maek")
    assert raised.value.hint == "there is `[3/4] RUN make`"
    with pytest.raises(NoSuchPlace) as raised:
        find_steps(recorded, "9")
    assert raised.value.hint == f"`builder why --all --build {build}` lists the steps by their numbers"


def test_without_a_build(store: Store) -> None:
    with pytest.raises(NoBuilds):
        find_step(store, "@1")
    with pytest.raises(NoSuchPlace):
        find_step(store, "@last-failed")


def test_the_layers_of_steps(store: Store, build: BuildId) -> None:
    place = find_step(store, f"{build}:6")
    assert place is not None
    assert place.layers_before() == ("base1", "base2", "copied", "made")
    assert place.layers() == ("base1", "base2", "copied", "made", "partial")
    assert place.layers(2) == ("base1", "base2")
    with pytest.raises(NoFiles):
        place.layers(3)


def test_a_step_whose_result_was_not_kept_has_the_files_that_it_started_from(store: Store) -> None:
    build = store.begin_build()
    for step in (IMAGE, Step(ordinal=3, name="RUN a", outcome=Outcome.FAILED, inputs=(2,), has_parent=True),
                 Step(ordinal=4, name="RUN b", outcome=Outcome.CANCELLED, inputs=(2,), has_parent=True)):
        store.add_step(build, step)
    failed, cancelled = find_step(store, "@3"), find_step(store, "@4")
    assert failed is not None
    assert cancelled is not None
    assert failed.layers() == ("base1", "base2")
    with pytest.raises(NoFiles):
        cancelled.layers()


@pytest.mark.parametrize(("text", "parts"), [
    ("@6:/etc/hosts", ("@6", "/etc/hosts")), ("@6", ("@6", "")), ("debian:12:/etc", ("debian:12", "/etc")),
    ("localhost:5000/a:/b", ("localhost:5000/a", "/b"))])
def test_a_path_behind_a_place(text: str, parts: tuple[str, str]) -> None:
    assert split_path(text) == parts
