"""Builds of directories in which somebody else is at work: git, editors, programs that write."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.conftest import Command

pytestmark = pytest.mark.root

BUSY = """
import os, random, sys
root = sys.argv[1]
os.makedirs(f"{root}/.git/refs", exist_ok=True)
number = 0
print("busy", flush=True)
while True:
    number += 1
    for name in ("index", "HEAD", "config"):  # written beside and renamed over, as git does
        with open(f"{root}/.git/{name}.lock", "w") as file:
            file.write(str(number) * random.randrange(1, 2000))
        os.replace(f"{root}/.git/{name}.lock", f"{root}/.git/{name}")
    scratch = f"{root}/.git/tmp_obj_{number}"  # of a name that nobody knows
    open(scratch, "w").close()
    with open(f"{root}/.git/log", "a" if number % 500 else "w") as file:  # grows in place
        file.write("line\\n")
    os.unlink(scratch)
    folder = f"{root}/.git/refs/{number % 7}"
    if os.path.isdir(folder):
        os.rmdir(folder)
    else:
        os.mkdir(folder)
    if os.path.islink(f"{root}/.git/link"):
        os.unlink(f"{root}/.git/link")
    else:
        os.symlink("HEAD", f"{root}/.git/link")
"""


@contextmanager
def busy(folder: Path) -> Iterator[None]:
    """A process that never stops touching, replacing and removing files below the folder."""
    with subprocess.Popen([sys.executable, "-c", BUSY, str(folder)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


@pytest.fixture
def tree(builder: Command) -> Path:
    for number in range(300):
        path = builder.context / f"src/{number % 10}/{number}.c"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"int f{number};\n")
    return builder.context


@pytest.mark.parametrize("instruction", [
    "RUN --mount=type=bind,target=/s cat /s/src/1/1.c > /out",
    "COPY . /s\nRUN cat /s/src/1/1.c > /out",
    "COPY --parents src .git /s/\nRUN cat /s/src/1/1.c > /out",
])
def test_a_busy_git_folder_does_not_fail_the_build(builder: Command, tree: Path, instruction: str) -> None:
    with busy(tree):
        for number in range(8):
            (tree / "src/1/1.c").write_text(f"round {number}\n")
            out = builder.files(f"FROM base\n{instruction}\n")
            assert (out / "out").read_text() == f"round {number}\n"


def test_what_was_built_in_the_middle_does_not_stand_for_the_end(builder: Command, tree: Path) -> None:
    with busy(tree):
        for _ in range(4):
            assert builder.build("FROM base\nCOPY . /s\n").returncode == 0
    out = builder.files("FROM base\nCOPY . /s\n")
    seen = {path.relative_to(out / "s"): path.read_bytes() for path in (out / "s").rglob("*") if path.is_file()}
    assert seen == {path.relative_to(tree): path.read_bytes() for path in tree.rglob("*") if path.is_file()}


def test_a_file_that_the_step_names_must_be_there(builder: Command, tree: Path) -> None:
    with busy(tree):
        done = builder.build("FROM base\nCOPY missing.c /\n")
    assert done.returncode == 1
    assert "missing.c" in done.stderr and "not found" in done.stderr and "Traceback" not in done.stderr


def test_a_file_that_is_always_replaced_is_copied_whole(builder: Command, tree: Path) -> None:
    with busy(tree):
        for _ in range(6):
            out = builder.files("FROM base\nCOPY .git/index /\n")
            text = (out / "index").read_text()
            assert text and text == text[:len(text)].rstrip("\n")


def test_links_between_new_files_are_kept(builder: Command, tree: Path) -> None:
    (tree / "one").write_text("x")
    os.link(tree / "one", tree / "two")
    with busy(tree):
        for _ in range(4):
            out = builder.files("FROM base\nCOPY . /s\n")
            assert (out / "s/one").stat().st_ino == (out / "s/two").stat().st_ino
            assert (out / "s/two").read_text() == "x"
