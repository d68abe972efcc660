"""Builds the cases of testdata/compat with docker buildx, to compare with it or to record what it gives.

    python -m bench.compat [--builder "builder"] [--docker "docker"] [-k TEXT] [-j N] [--registry HOST:PORT] [CASES...]
    python -m bench.compat --record ...      write each case's buildkit.txt anew; the diff is the review

Without --record both build, and what differs is printed. Exit status 0 when nothing differs. tests/test_compat.py
compares with the recordings instead, by the same rules (cases.py).
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.compat.cases import Case, Ran, all_cases, differences, read_case, trial
from bench.compat.recordings import read_recording, write_base, write_recording
from bench.compat.services import image_placeholders, push_bases, serve


class Program:
    """A Build by a command line."""

    def __init__(self, *command: str) -> None:
        self._command = command

    def __call__(self, arguments: list[str], *, stdin: Path | None, env: Mapping[str, str]) -> Ran:
        with open(stdin or os.devnull, "rb") as file:
            done = subprocess.run([*self._command, *arguments], stdin=file, capture_output=True, text=True,
                                  errors="replace", cwd="/tmp", env={**os.environ, **env})
        return Ran(done.returncode, done.stdout, done.stderr)


class Run:
    """One run of this program over the cases."""

    def __init__(self, options: argparse.Namespace, scratch: Path, placeholders: Mapping[str, str]) -> None:
        self._scratch = scratch
        self._record = options.record
        self._placeholders = placeholders
        self._ours = Program(*shlex.split(options.builder), "--root", str(scratch / "state"), "build")
        self._theirs = Program(*shlex.split(options.docker), "buildx", "build", "--provenance=false", "--no-cache",
                               "--network", "host")

    def push_bases(self, registry: str) -> None:
        lines = push_bases(self._ours, registry, self._scratch)
        if self._record:
            write_base("base", lines)

    def case(self, case: Case) -> list[str]:
        """What is to be reported of it."""
        try:
            with trial(case, self._scratch / "cases", self._placeholders) as prepared:
                if not self._record:
                    return differences(case, prepared.build(self._ours), prepared.build(self._theirs))
                result = prepared.build(self._theirs)
        except subprocess.CalledProcessError as error:
            return [f"setup.sh fails: {error.stderr.decode().strip()}"]
        write_recording(case.folder, result)
        if (read := read_recording(case.folder)) != result:
            return ["the recording does not hold the result"]
        return [] if "explained" in case.spec else differences(case, read, read)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", type=Path)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--builder", default=f"{shlex.quote(sys.executable)} -m builder")
    parser.add_argument("--docker", default="docker")
    parser.add_argument("--registry", default="127.0.0.1:5000", help="where both find the base images")
    parser.add_argument("-k", default="", help="only cases whose name holds this")
    parser.add_argument("-j", type=int, default=2)
    options = parser.parse_args()
    cases = [read_case(folder.resolve()) for folder in options.cases] or all_cases(options.k)
    if options.record:
        cases = [case for case in cases if "live" not in case.spec]
    os.environ["PYTHONPATH"] = os.getcwd()
    with tempfile.TemporaryDirectory(prefix="compat-", dir="/tmp") as scratch, \
            ThreadPoolExecutor(options.j) as pool, serve(Path(scratch, "cases")) as served:
        run = Run(options, Path(scratch), {**image_placeholders(options.registry), **served})
        run.push_bases(options.registry)
        failed = 0
        for case, lines in zip(cases, pool.map(run.case, cases), strict=True):
            failed += bool(lines)
            print(f"{'DIFF' if lines else 'done' if options.record else 'same'}  {case.name}", flush=True)
            for line in lines:
                print(f"      {line[:1000]}")
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
