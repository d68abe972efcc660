from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import pytest

ROOT = Path(__file__).parents[2]


class Cli(Protocol):
    def __call__(self, *arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Runs `builder` as a process of its own, with a state folder and a home of its own."""
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("BUILD", "DOCKER", "SOURCE_DATE_EPOCH", "NO_COLOR", "COLUMNS", "PYTHON"))}
    environment |= {"BUILDER_ROOT": str(tmp_path / "state"), "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}

    def run(*arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([sys.executable, "-m", "builder", *arguments], input=stdin, capture_output=True,
                              env=environment, cwd=tmp_path, timeout=60, check=False)
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    return run
