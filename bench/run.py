#!/usr/bin/env python3
"""Measures builder, docker buildx and buildah side by side: in every round each of them builds the same new files.

    python -m bench.run [-k W5] [-n RUNS] [--quick] [--builders builder,docker] [--against SOURCE] [-o NAME]

Peers are found through $BENCH_DOCKER and $BENCH_BUILDAH (commands), the base image through $BENCH_BASE, all files go to
$BENCH_DIR. Prints a table and keeps it as bench/results/NAME.md and .json; rows of NAME that are not measured stay.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shlex
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from bench import measure, report
from bench.builders import Buildah, Builder, Docker, This, folder_from_environment
from bench.registry import Registry
from bench.workloads import WORKLOADS, Output, Round, Workload

RESULTS = Path(__file__).resolve().parent / "results"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-k", action="append", default=[], help="only these workloads; W15 means all of its rows")
    parser.add_argument("-n", type=int, help="rounds, instead of each workload's own number")
    parser.add_argument("--quick", action="store_true", help="a tenth of files and bytes")
    parser.add_argument("--builders", default="builder,docker,buildah")
    parser.add_argument("--against", type=Path, help="a checkout of another revision, measured as `base`")
    parser.add_argument("-o", default=datetime.now(UTC).strftime("%Y-%m-%d"), help="name of the results")
    options = parser.parse_args()
    folder = folder_from_environment()
    folder.mkdir(parents=True, exist_ok=True)
    if not _is_journaled(folder):
        print(f"bench: {folder} is on ext4 without a journal, where making files is slow for minutes after many were "
              "removed: set BENCH_DIR", file=sys.stderr)
        return 1
    lock = open(folder / "lock", "w")  # noqa: SIM115  # held until the process ends
    fcntl.flock(lock, fcntl.LOCK_EX)
    builders = _builders(options, folder)
    registry = Registry(os.environ.get("BENCH_BASE", "127.0.0.1:5000/debian:bookworm"))
    bench = Bench(builders, folder, registry, scale=10 if options.quick else 1)
    chosen = [w for w in WORKLOADS if not options.k or {w.name, w.name.partition("-")[0]} & set(options.k)]
    results = report.Results.load(RESULTS / f"{options.o}.json")
    results.machine = report.machine(folder, [_version(builder) for builder in builders])
    for workload in chosen:
        row = bench.row(workload, options.n or workload.runs)
        results.add(row)
        print(report.line(row, [builder.name for builder in builders]), flush=True)
        results.save(RESULTS / f"{options.o}.json")
        (RESULTS / f"{options.o}.md").write_text(report.markdown(results))
    bench.reset()
    return 0


class Bench:
    """Everything that one run of the benchmark shares."""

    def __init__(self, builders: list[Builder], folder: Path, registry: Registry, scale: int) -> None:
        self._builders = builders
        self._folder = folder
        self._registry = registry
        self._scale = scale
        self._tags: dict[str, list[str]] = {builder.name: [] for builder in builders}
        self._kept = ""
        """The shared context whose files and caches still stand."""

    def row(self, workload: Workload, runs: int) -> report.Row:
        """All rounds of one workload; buildah takes part in the first one only, for it takes longest."""
        builders = [b for b in self._builders if workload.peers or b.name != "buildah"]
        row = report.Row(name=workload.name, title=workload.title, goal=workload.goal, scale=self._scale)
        round_ = self._start(workload)
        before = {b.name: measure.disk_used(b.state) for b in builders if b.state}
        failed = {b.name for b in builders if workload.primed and not self._prime(b, workload, round_)}
        primed = {b.name: measure.disk_used(b.state) for b in builders if b.state}
        for number in range(runs):
            round_ = self._round(workload, number)
            if workload.renew:
                workload.renew(round_)
            for builder in builders[number % len(builders):] + builders[:number % len(builders)]:
                if builder.name in failed or (builder.name == "buildah" and number):
                    continue
                try:
                    row.cell(builder.name).add(*self._timed(builder, workload, round_))
                except measure.Failed as error:
                    failed.add(builder.name)
                    print(f"bench: {workload.name}: {error}", file=sys.stderr)
        for builder in builders:
            if builder.state:
                row.cell(builder.name).disk = (primed[builder.name] - before[builder.name],
                                               measure.disk_used(builder.state) - before[builder.name])
        return row

    def reset(self) -> None:
        """Removes what was built and the contexts."""
        for builder in self._builders:
            for command in builder.reset(self._tags[builder.name]):
                try:
                    measure.run([command])
                except measure.Failed as error:
                    print(f"bench: {error}", file=sys.stderr)
            self._tags[builder.name].clear()
        shutil.rmtree(self._folder / "contexts", ignore_errors=True)

    def _start(self, workload: Workload) -> Round:
        """Builders that know the base image only, and the context."""
        first = self._round(workload, -1)
        if workload.context and workload.context == self._kept:
            return first
        self.reset()
        self._kept = workload.context
        for builder in self._builders:
            measure.run(builder.base(self._registry.base))
        first.folder.mkdir(parents=True)
        workload.make(first)
        if workload.renew:
            workload.renew(first)
        return first

    def _round(self, workload: Workload, number: int) -> Round:
        return Round(self._folder / "contexts" / (workload.context or workload.name),
                     f"n{int(time.time())}-{number + 1}", self._scale, self._registry)

    def _prime(self, builder: Builder, workload: Workload, round_: Round) -> bool:
        """The untimed build before the rounds; False if it failed."""
        try:
            measure.run(builder.build(round_.folder, self._tag(builder, round_), workload.output, self._dest(builder)))
        except measure.Failed as error:
            print(f"bench: {workload.name}: {error}", file=sys.stderr)
            return False
        return True

    def _timed(self, builder: Builder, workload: Workload, round_: Round) -> tuple[measure.Measured, int]:
        """One measurement and the size of the archive."""
        tag, dest = self._tag(builder, round_), self._dest(builder)
        commands = builder.build(round_.folder, tag, workload.output, dest)
        if workload.push and workload.output is Output.PUSHED:
            measure.run(builder.build(round_.folder, tag, Output.CACHE, dest))
        elif workload.push:
            measure.run(commands)
            commands = builder.push(tag)
        dest.unlink(missing_ok=True)
        os.sync()
        done = measure.run(commands, daemons=builder.daemons, watch_memory=workload.heavy)
        size = dest.stat().st_size if dest.exists() else 0
        dest.unlink(missing_ok=True)
        return done, size

    def _tag(self, builder: Builder, round_: Round) -> str:
        tag = self._registry.name(builder.name, round_.nonce)
        self._tags[builder.name].append(tag)
        return tag

    def _dest(self, builder: Builder) -> Path:
        return self._folder / f"{builder.name}.tar"


def _builders(options: argparse.Namespace, folder: Path) -> list[Builder]:
    wanted = options.builders.split(",")
    found: list[Builder] = [This(folder)]
    if options.against:
        return [This(folder, "base", options.against.resolve()), *found]
    if "docker" in wanted and (command := os.environ.get("BENCH_DOCKER")):
        found.append(Docker(shlex.split(command), _state("BENCH_DOCKER_STATE")))
    if "buildah" in wanted and (command := os.environ.get("BENCH_BUILDAH")):
        found.append(Buildah(shlex.split(command), _state("BENCH_BUILDAH_STATE")))
    return found


def _state(variable: str) -> Path | None:
    return Path(os.environ[variable]) if variable in os.environ else None


def _version(builder: Builder) -> str:
    return subprocess.run(builder.version(), capture_output=True, text=True, cwd="/tmp").stdout.strip()


def _is_journaled(folder: Path) -> bool:
    kind, device = report.file_system(folder)
    return kind != "ext4" or any(Path("/proc/fs/jbd2").glob(f"{Path(device).name}-*"))


if __name__ == "__main__":
    sys.exit(main())
