"""What the file system of the state folder allows, as `doctor` says it and as a build then finds it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from integration.conftest import Command

pytestmark = pytest.mark.root
ON_AN_OVERLAY = "mount -t overlay -o lowerdir=$0/lower,upperdir=$0/upper,workdir=$0/work overlay $0/merged; exec \"$@\""
ON_A_TMPFS = "mount -t tmpfs tmpfs $0/merged; exec \"$@\""


def run_on(mount: str, folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """A command that sees a file system of its own at `folder`/merged."""
    for name in ("lower", "upper", "work", "merged"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return subprocess.run(["unshare", "-m", "sh", "-c", mount, str(folder), *argv], capture_output=True, text=True,
                          timeout=120, stdin=subprocess.DEVNULL, check=False)


def test_where_overlayfs_does_not_work_both_say_so_and_why(builder: Command, tmp_path: Path) -> None:
    builder.root = tmp_path / "fs" / "merged" / "state"
    asked = run_on(ON_AN_OVERLAY, tmp_path / "fs", *builder.argv("doctor"))
    assert "no  overlayfs  " in asked.stdout, asked.stderr
    assert "with layers copied for each step, which is slow (" in asked.stdout
    assert f"{builder.root.parent}/builder-probe-" in asked.stdout
    argv = builder.argv(*builder.build_args("FROM base\nRUN echo one > /one\nRUN echo two > /two\n"))
    built = run_on(ON_AN_OVERLAY, tmp_path / "fs", *argv, str(builder.context))
    assert built.returncode == 0, built.stderr
    assert built.stderr.count("every step runs on a copy of its layers") == 1
    assert f"overlayfs does not work in `{builder.root}` (" in built.stderr
    for text in (asked.stdout, built.stderr):
        assert "not supported as upperdir)" in text


def test_where_it_works_neither_does(builder: Command, tmp_path: Path) -> None:
    builder.root = tmp_path / "fs" / "merged" / "state"
    asked = run_on(ON_A_TMPFS, tmp_path / "fs", *builder.argv("doctor"))
    assert asked.stdout.splitlines()[-1].endswith(", on overlayfs"), asked.stdout
    argv = builder.argv(*builder.build_args("FROM base\nRUN echo one > /one\n"))
    built = run_on(ON_A_TMPFS, tmp_path / "fs", *argv, str(builder.context))
    assert built.returncode == 0, built.stderr
    assert "copy of its layers" not in built.stderr


def test_doctor_makes_no_state_folder(tmp_path: Path) -> None:
    root = tmp_path / "not" / "there"
    subprocess.run([sys.executable, "-m", "builder", "--root", str(root), "doctor"], check=True, capture_output=True)
    assert os.listdir(tmp_path) == []
