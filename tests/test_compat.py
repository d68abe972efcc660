"""The cases of testdata/compat: their form, and, where a Docker is at hand, the comparison with it."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "testdata" / "compat"
CASES = sorted(path for path in FOLDER.glob("*/*") if path.is_dir())
DOCUMENT = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
DOCKER = os.environ.get("BUILDER_PEERS", "")
KEYS = {"args", "context", "stdin", "env", "output", "error", "compare", "explained"}


def spec_of(case: Path) -> dict[str, object]:
    file = case / "compat.json"
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}


def name_of(case: Path) -> str:
    return str(case.relative_to(FOLDER))


def test_every_case_is_well_formed() -> None:
    for case in CASES:
        assert spec_of(case).keys() <= KEYS, name_of(case)
        assert any(file.is_file() for file in case.rglob("*ockerfile")) or (case / "setup.sh").exists(), name_of(case)


def test_every_explained_difference_has_a_reason_in_the_document() -> None:
    reasons = re.findall(r"`([a-z0-9/*-]+)`", DOCUMENT.partition("## Explained")[2])
    assert [name_of(case) for case in CASES if "explained" in spec_of(case)
            and not any(fnmatch.fnmatch(name_of(case), reason) for reason in reasons)] == []


@pytest.mark.peers
@pytest.mark.skipif(not DOCKER, reason="BUILDER_PEERS names no docker to compare with")
@pytest.mark.skipif(not shutil.which("git"), reason="git serves the contexts of some cases")
def test_compared_with_docker_buildx() -> None:
    builder = f"{shlex.quote(sys.executable)} -m builder"
    done = subprocess.run([sys.executable, "bench/compat.py", "--builder", builder, "--docker", DOCKER], cwd=ROOT,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, "\n".join(line for line in done.stdout.splitlines() if not line.startswith("same"))
