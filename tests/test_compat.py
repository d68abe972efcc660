"""The cases of testdata/compat give what BuildKit gave; and, where a Docker is at hand, what it gives now."""

from __future__ import annotations

import contextlib
import fnmatch
import gc
import io
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from bench.compat.cases import Case, Ran, all_cases, differences, trial
from bench.compat.recordings import BASES, RECORDING, base_lines, read_recording
from bench.compat.services import image_placeholders, push_bases, serve
from builder.cli.main import main
from tests.registry.servers import docker_registry

ROOT = Path(__file__).resolve().parent.parent
CASES = all_cases()
DOCUMENT = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
DOCKER = os.environ.get("BUILDER_PEERS", "")
KEYS = {"args", "context", "stdin", "env", "output", "error", "compare", "explained", "live"}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Differences = Callable[[Case], list[str]]


def test_every_case_is_well_formed() -> None:
    for case in CASES:
        files = case.folder
        assert case.spec.keys() <= KEYS, case.name
        assert any(file.is_file() for file in files.rglob("*ockerfile")) or (files / "setup.sh").exists(), case.name
        assert (files / RECORDING).exists() != ("live" in case.spec), f"{case.name}: see testdata/README.md"


def test_every_explained_difference_has_a_reason_in_the_document() -> None:
    reasons = re.findall(r"`([a-z0-9/*-]+)`", DOCUMENT.partition("## Explained")[2])
    assert [case.name for case in CASES if "explained" in case.spec
            and not any(fnmatch.fnmatch(case.name, reason) for reason in reasons)] == []


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Differences]:
    """Builds a case in this process and compares with its recording. All cases share a state folder and a registry."""
    scratch = tmp_path_factory.mktemp("compat")
    scratch.chmod(0o755)
    build = partial(_build, str(scratch / "state"))
    (scratch / "registry").mkdir()
    with docker_registry(scratch / "registry") as registry, serve(scratch / "cases") as served:
        base = push_bases(build, registry, scratch)
        assert base == base_lines("base"), f"{BASES}: the base image is another one than that of the recordings"
        placeholders = {**image_placeholders(registry), **served}

        def compare(case: Case) -> list[str]:
            with trial(case, scratch / "cases", placeholders) as prepared:
                return differences(case, prepared.build(build), read_recording(case.folder))

        yield compare


@pytest.mark.root
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the recordings are of linux/amd64")
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES if "live" not in case.spec])
def test_what_is_built_is_what_buildkit_built(case: Case, recorded: Differences) -> None:
    lines = recorded(case)
    assert not lines, "\n".join([f"{case.name} differs from {RECORDING}:", *lines])


def _build(state: str, arguments: list[str], *, stdin: Path | None, env: Mapping[str, str]) -> Ran:
    """`builder build` in this process: a fresh interpreter for each case would take most of the time."""
    outputs = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="surrogateescape") for _ in range(2)]
    before = {number: signal.getsignal(number) for number in SIGNALS}
    environment = dict(os.environ)
    with contextlib.chdir("/tmp"), open(stdin or os.devnull, encoding="utf-8") as file, \
            contextlib.redirect_stdout(outputs[0]), contextlib.redirect_stderr(outputs[1]):
        sys.stdin, kept = file, sys.stdin
        os.environ.update(env)
        try:
            status = main(["--root", state, "build", *arguments])
        finally:
            sys.stdin = kept
            os.environ.clear()
            os.environ.update(environment)
            for number, handler in before.items():
                signal.signal(number, handler)
            gc.collect(0)  # the command puts off collecting garbage, among it folders that are held open
    for output in outputs:
        output.flush()
    stdout, stderr = (output.buffer.getvalue().decode(errors="replace") for output in outputs)
    return Ran(status, stdout, stderr)


@pytest.mark.peers
@pytest.mark.skipif(not DOCKER, reason="BUILDER_PEERS names no docker to compare with")
@pytest.mark.skipif(not shutil.which("git"), reason="git serves the contexts of some cases")
def test_compared_with_docker_buildx() -> None:
    builder = f"{shlex.quote(sys.executable)} -m builder"
    done = subprocess.run([sys.executable, "-m", "bench.compat", "--builder", builder, "--docker", DOCKER], cwd=ROOT,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, "\n".join(line for line in done.stdout.splitlines() if not line.startswith("same"))
