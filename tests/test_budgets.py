"""What a build that finds everything in the cache may cost, counted rather than timed: budgets.json holds what was
measured, and a tenth more is allowed. `--update-golden` measures anew; the diff is the review.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BUDGETS = ROOT / "tests" / "budgets.json"
COMMAND = """
import sys
before = set(sys.modules)
from builder.cli.main import main
status = main(sys.argv[1:])
print(*sorted(set(sys.modules) - before), sep="\\n")
raise SystemExit(status)
"""
NEVER = {"lark", "urllib3", "pathspec", "isal", "zstandard", "tarfile", "subprocess", "json", "ssl", "http", "asyncio",
         "logging", "dataclasses"}
"""Heavy modules that such a build has no use for."""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="without root, entering a user namespace is counted too")


@pytest.fixture
def build(tmp_path: Path) -> list[str]:
    """A command whose second run finds everything in the cache: ten steps, a hundred files."""
    context = tmp_path / "context"
    for number in range(100):
        file = context / f"d{number // 10}" / f"f{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{number}\n")
    (context / ".dockerignore").write_text("d9\n!d9/f95.txt\n")
    copies = "".join(f"COPY d{number} /d{number}\n" for number in range(8))
    (context / "Dockerfile").write_text(
        f"FROM scratch\nARG MODE=release\nENV MODE=$MODE\nWORKDIR /app\n{copies}COPY . .\nCMD [\"/app\"]\n")
    command = [sys.executable, "-c", COMMAND, "--root", str(tmp_path / "state"), "build", "-q", "-t", "app",
               str(context)]
    run(command, tmp_path)
    return command


def run(command: list[str], folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BUILD", "DOCKER"))}
    environment |= {"HOME": str(folder), "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=True).stdout


def within(name: str, measured: int, update: bool) -> None:
    budgets = json.loads(BUDGETS.read_text()) if BUDGETS.exists() else {}
    if update:
        BUDGETS.write_text(json.dumps(budgets | {name: measured}, indent=1, sort_keys=True) + "\n")
        return
    assert measured <= budgets[name] * 1.1, f"{name}: {measured}, the budget is {budgets[name]} and a tenth"


def test_modules(build: list[str], tmp_path: Path, update_golden: bool) -> None:
    _, *modules = run(build, tmp_path).splitlines()
    assert not {name.partition(".")[0] for name in modules} & NEVER
    within("modules", len(modules), update_golden)


def test_system_calls(build: list[str], tmp_path: Path, update_golden: bool) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    trace = tmp_path / "trace"
    run(["strace", "-f", "-y", "-qq", "-o", str(trace), *build], tmp_path)
    calls = [line.split(maxsplit=1)[1] for line in trace.read_text(errors="replace").splitlines()]
    within("calls on the state folder", sum(str(tmp_path / "state") in call for call in calls), update_golden)
    within("calls on the context", sum(str(tmp_path / "context") in call for call in calls), update_golden)
    within("syncs", sum(call.startswith(("fsync", "fdatasync")) for call in calls), update_golden)
    within("threads and processes", sum(call.startswith(("clone", "fork", "vfork")) for call in calls), update_golden)
