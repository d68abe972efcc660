"""Attempts to make the cache give a layer that does not belong to what is asked for."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.conftest import Command

pytestmark = pytest.mark.root


def text(out: Path, name: str) -> str:
    return (out / name).read_text()


def test_a_layer_made_again_does_not_get_the_layers_that_stood_on_the_lost_one(builder: Command) -> None:
    dockerfile = "FROM base\nRUN cat /proc/sys/kernel/random/uuid > /a\nRUN cp /a /b\n"
    out = builder.files(dockerfile)
    first = text(out, "a")
    assert text(out, "b") == first
    lost = [folder for folder in (builder.root / "layers").iterdir() if (folder / "diff" / "a").exists()]
    assert len(lost) == 1
    shutil.rmtree(lost[0])
    out = builder.files(dockerfile)
    assert text(out, "a") != first
    assert text(out, "b") == text(out, "a")


def elsewhere(builder: Command, tmp_path: Path) -> Command:
    """Another machine: the same context and base, a state folder of its own."""
    other = Command(tmp_path / "elsewhere", builder.base)
    other.context = builder.context
    return other


def test_a_file_that_changed_after_its_portable_key_was_made_poisons_no_cache(builder: Command, tmp_path: Path) -> None:
    file, cache = builder.context / "f", tmp_path / "cache"
    file.write_text("before")
    dockerfile = "FROM base\nRUN echo it began; sleep 3\nCOPY f /f\nRUN cat /f > /g\n"
    argv = builder.argv(*builder.build_args(dockerfile, "--cache-to", f"type=local,dest={cache},mode=max"),
                        str(builder.context))
    with subprocess.Popen(argv, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.rstrip().endswith(b" it began"):
                file.write_text("after")
        assert process.wait() == 0
    file.write_text("before")
    out = elsewhere(builder, tmp_path).files(dockerfile, "--cache-from", f"type=local,src={cache}")
    assert (text(out, "f"), text(out, "g")) == ("before", "before")


def test_what_a_step_saw_is_what_its_key_stands_for_after_a_retry(builder: Command) -> None:
    """A person edits the script that failed and has the step run again: its result is that of the new script."""
    script = builder.context / "script"
    script.write_text("exit 1\n")
    dockerfile = "FROM base\nRUN --mount=type=bind,target=/s sh /s/script\n"
    fix = f"echo 'echo edited > /out' > {script}"
    argv = builder.build_args(dockerfile, "--on-error=debug", "--debug-run=true", "--debug-then=retry")
    with subprocess.Popen(builder.argv(*argv, str(builder.context)), stderr=subprocess.PIPE, text=True,
                          stdin=subprocess.DEVNULL) as process:
        subprocess.run(["sh", "-c", f"sleep 4; {fix}"], check=True)
        assert process.stderr is not None
        said = process.stderr.read()
    script.write_text("exit 1\n")
    assert builder.build(dockerfile).returncode == 1, f"the failing script never became a result: {said[-500:]}"


@pytest.mark.parametrize(("one", "other"), [
    ("mkdir -m 700 /d", "mkdir -m 755 /d"),
    ("mkdir /d", "mkdir /d; chown 5:6 /d"),
    ("mkdir /d; echo x > /d/f", "mkdir /d; echo x > /d/g"),
    ("mkdir /d; ln -s a /d/f", "mkdir /d; ln -s b /d/f"),
    ("mkdir /d; echo x > /d/f", "mkdir /d; echo x > /d/f; chmod 600 /d/f"),
], ids=["mode", "owner", "name", "link", "mode of a file"])
def test_a_mount_of_a_folder_is_keyed_by_all_that_can_be_seen_in_it(builder: Command, one: str, other: str) -> None:
    seen = []
    for make in (one, other):
        out = builder.files(f"FROM base AS a\nRUN {make}\nFROM base\nRUN --mount=from=a,source=/d,target=/m "
                            "stat -c '%n %a %u:%g %N' /m /m/* > /out 2>&1; true\n")
        seen.append(text(out, "out"))
    assert seen[0] != seen[1]


@pytest.mark.parametrize(("one", "other"), [
    ("RUN ln -s /x /t", "RUN ln -s /y /t"),
    ("RUN mkdir -m 700 /t", "RUN mkdir -m 777 /t"),
    ("RUN mkdir /x && ln -s x /t", "RUN mkdir /x"),
], ids=["links elsewhere", "mode", "link or nothing"])
def test_a_copy_is_keyed_by_what_it_meets_below(builder: Command, one: str, other: str) -> None:
    (builder.context / "f").write_text("1")
    for below in (one, other):
        cached = builder.files(f"FROM base\n{below}\nCOPY f /t/\n")
        first = sorted((str(path.relative_to(cached)), path.lstat().st_mode) for path in cached.rglob("*"))
        anew = builder.files(f"FROM base\n{below}\nCOPY f /t/\n", "--no-cache")
        assert first == sorted((str(path.relative_to(anew)), path.lstat().st_mode) for path in anew.rglob("*"))


def test_owners_by_name_are_those_of_the_image_below(builder: Command) -> None:
    (builder.context / "f").write_text("1")
    owners = []
    for uid in (1234, 4321):
        out = builder.files(f"FROM base\nRUN echo u:x:{uid}:{uid}::/:/bin/sh >> /etc/passwd; "
                            f"echo u:x:{uid}: >> /etc/group\nCOPY --chown=u f /f\nUSER u\nWORKDIR /w\nUSER 0\n"
                            "RUN stat -c %u /f /w > /out\n")
        owners.append(text(out, "out").split())
    assert owners == [["1234", "1234"], ["4321", "4321"]]


def test_equal_words_in_other_places_are_other_keys(builder: Command) -> None:
    """Values of two variables, two arguments, a heredoc and a command cannot flow into each other."""
    dockerfiles = [
        "FROM base\nENV A=1 B=2\nRUN echo $A-$B > /out\n", "FROM base\nENV A='1 B=2'\nRUN echo $A-$B > /out\n",
        "FROM base\nARG A=1\nRUN echo $A-$B > /out\n", 'FROM base\nRUN ["sh", "-c", "echo \\"$0\\" > /out", "a b"]\n',
        'FROM base\nRUN ["sh", "-c", "echo \\"$0\\" > /out", "a", "b"]\n',
        "FROM base\nRUN <<E\necho x > /out\nE\n", "FROM base\nRUN <<'E' sh\necho $A > /out\nE\n",
    ]
    seen = [text(builder.files(dockerfile), "out") for dockerfile in dockerfiles]
    assert seen == ["1-2\n", "1 B=2-\n", "1-\n", "a b\n", "a\n", "x\n", "\n"]
