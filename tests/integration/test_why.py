"""`builder why` compares a step with its own earlier builds, or with nothing: seen through the command."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.conftest import Command

pytestmark = pytest.mark.root

NOTHING = "no earlier build of this step"


def misses(stderr: str) -> list[str]:
    return [line.partition("miss: ")[2] for line in stderr.splitlines() if " miss: " in line]


def reasons(builder: Command, *args: str) -> list[str]:
    """What `why` says of each step that ran, without numbers and help."""
    lines = builder.run("why", *args).stdout.splitlines()
    return [line.strip() for line in lines if line.startswith("  ") and not line.lstrip().startswith(
        ("run", "failed", "cancelled", "cached", "help:"))]


def project(folder: Path, **files: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return str(folder)


def test_steps_beside_each_other_of_a_first_build_are_not_compared(builder: Command) -> None:
    project(builder.context, a="1", b="2")
    said = builder.build("FROM base\nCOPY a /app/\nCOPY b /app/\nRUN echo one two\nRUN echo one three\n").stderr
    assert misses(said) == [], "a first build has no news"
    assert set(reasons(builder)) == {NOTHING}
    assert "help:" not in builder.run("why").stdout


def test_another_project_in_the_same_root_is_not_compared(builder: Command, tmp_path: Path) -> None:
    one = project(tmp_path / "one", **{f"f{n}": str(n) for n in range(30)})
    two = project(tmp_path / "two", other="x")
    dockerfile = "FROM base\nCOPY . /app\nRUN ls /app\n"
    (tmp_path / "one" / "Dockerfile").write_text(dockerfile)
    (tmp_path / "two" / "Dockerfile").write_text(dockerfile)
    base = ("--build-context", f"base=oci-layout://{builder.base}", "--progress", "plain")
    for folder in (one, two):
        assert misses(builder.run("build", *base, folder).stderr) == []
        assert set(reasons(builder)) == {NOTHING}
    (tmp_path / "one" / "f1").write_text("changed")
    assert misses(builder.run("build", *base, one).stderr)[0] == "1 file changed: f1"
    (tmp_path / "two" / "new").write_text("")
    assert misses(builder.run("build", *base, two).stderr)[0] == "1 file added: new"


def test_a_tag_connects_builds_of_different_folders(builder: Command, tmp_path: Path) -> None:
    dockerfile = "FROM base\nCOPY . /app\n"
    builder.build(dockerfile, "-t", "app:dev", context=project(tmp_path / "checkout1", f="1"))
    said = builder.build(dockerfile, "-t", "app:dev", context=project(tmp_path / "checkout2", f="2")).stderr
    assert misses(said) == ["1 file changed: f"]
    said = builder.build(dockerfile, "-t", "app:other", context=project(tmp_path / "checkout3", f="3")).stderr
    assert (misses(said), reasons(builder)) == ([], [NOTHING])


def test_a_step_that_came_from_another_project_is_this_ones_too(builder: Command, tmp_path: Path) -> None:
    dockerfile = "FROM base\nCOPY . /app\n"
    one, two = project(tmp_path / "one", f="1"), project(tmp_path / "two", f="1")
    builder.build(dockerfile, context=one)
    assert misses(builder.build(dockerfile, context=two).stderr) == []
    (tmp_path / "two" / "f").write_text("2")
    assert misses(builder.build(dockerfile, context=two).stderr) == ["1 file changed: f"]


def test_a_new_step_is_not_compared_with_one_that_is_still_there(builder: Command) -> None:
    project(builder.context, a="1", b="2")
    builder.build("FROM base\nCOPY a /app/\n")
    assert misses(builder.build("FROM base\nCOPY a /app/\nCOPY b /app/\n").stderr) == []
    assert reasons(builder) == [NOTHING]
    assert misses(builder.build("FROM base\nCOPY a /app/\nCOPY b /srv/ b/\n").stderr) != [NOTHING]


def test_a_stage_is_compared_with_itself(builder: Command) -> None:
    project(builder.context, a="1", b="2")
    dockerfile = ("FROM base AS one\nARG X=1\nRUN echo same\nFROM base AS two\nARG X=2\nRUN echo same\nFROM base\n"
                  "COPY --from=one /bin/echo /1\nCOPY --from=two /bin/echo /2\n")
    builder.build(dockerfile)
    said = builder.build(dockerfile.replace("X=2", "X=3")).stderr
    assert misses(said) == ['build arg X changed "2" -> "3"']
    renamed = dockerfile.replace("X=2", "X=3").replace("two", "second").replace("X=1", "X=7")
    assert misses(builder.build(renamed).stderr) == ['build arg X changed "1" -> "7"'], "the renamed stage is found"


def test_a_step_that_failed_last_time(builder: Command) -> None:
    project(builder.context, script="exit 1\n")
    dockerfile = "FROM base\nCOPY script /\nRUN sh /script\n"
    assert builder.build(dockerfile).returncode == 1
    assert misses(builder.build(dockerfile).stderr) == ["it failed last time, and nothing changed since"]
    project(builder.context, script="exit 0\n")
    said = misses(builder.build(dockerfile).stderr)
    assert said == ["1 file changed: script", "it failed last time"]
    assert "it failed last time" not in " ".join(misses(builder.build("FROM base\nRUN exit 0\n").stderr))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_step_keeps_its_time_its_log_and_its_reason(builder: Command, how: signal.Signals) -> None:
    project(builder.context, go="1")
    dockerfile = "FROM base\nCOPY go /\nRUN echo it began; while :; do sleep 0.2; echo on; done\n"
    argv = builder.argv(*builder.build_args(dockerfile), str(builder.context))
    with subprocess.Popen(argv, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.rstrip().endswith(b" it began"):
                break
        time.sleep(1)
        os.kill(process.pid, how)
        process.stderr.read()
    said = builder.run("why").stdout
    assert "RUN echo it began" in said and "every step came from the cache" not in said
    took = next(line for line in said.splitlines() if line.startswith("  cancelled "))
    assert 0.5 < float(took.split()[1].removesuffix("s")) < 20
    assert NOTHING in reasons(builder, "RUN")[0]
    assert "it began" in builder.run("logs", "RUN").stdout
    process.wait()
    finished = dockerfile.replace("while :;", "for i in 1;")
    assert misses(builder.build(finished).stderr)[0].startswith("it was interrupted last time")


def test_why_is_true_while_the_build_runs(builder: Command) -> None:
    argv = builder.argv(*builder.build_args("FROM base\nRUN echo it began; sleep 60\n"), str(builder.context))
    with subprocess.Popen(argv, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.rstrip().endswith(b" it began"):
                break
        said = builder.run("why").stdout
        os.kill(process.pid, signal.SIGTERM)
        process.stderr.read()
    assert "  running" in said and NOTHING in said


def test_the_content_of_a_hard_linked_file_changed(builder: Command) -> None:
    project(builder.context, one="1")
    os.link(builder.context / "one", builder.context / "two")
    builder.build("FROM base\nCOPY . /app\n")
    (builder.context / "one").write_text("2")
    said = builder.build("FROM base\nCOPY . /app\n").stderr
    assert misses(said) == ["2 files changed: one, two"]
