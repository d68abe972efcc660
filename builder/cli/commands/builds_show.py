"""`builder builds show`: everything that is recorded of a build: its steps with their ids, times, keys and logs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from builder.cli.command import Command, Invocation
from builder.cli.pflag import Flag, Kind
from builder.cli.table import ago, align
from builder.cli.value_types import BUILD
from builder.ui.text import printable
from builder.ui.units import human_size

if TYPE_CHECKING:
    from builder.store.builds import Build, Step


def run(invocation: Invocation) -> int:
    flags = invocation.flags
    with invocation.open() as builder:
        build = builder.find_build(invocation.arguments[0] if invocation.arguments else "")
        sizes = {step.ordinal: _log_size(builder.store.log_path(build.id, step.ordinal)) for step in build.steps}
    if flags.on("json"):
        print(msgspec.json.format(msgspec.json.encode(build), indent=2).decode())
        return 0
    print(report(build, sizes, whole=flags.on("no-trunc")), end="")
    return 0


def report(build: Build, log_sizes: dict[int, int], *, whole: bool = False) -> str:
    """The build's facts, then a line a step."""
    facts = (("build", build.id), ("name", build.name), ("state", build.state.value), ("began", ago(build.started)),
             ("took", f"{build.ended - build.started:.2f}s" if build.ended else ""), ("context", build.context),
             ("dockerfile", build.dockerfile), ("target", build.target), ("platform", build.platform),
             ("image", build.image), ("error", build.error))
    text = "".join(f"{name + ':':<12}{printable(value)}\n" for name, value in facts if value)
    rows = [["STEP", "OUTCOME", "SECONDS", "KEY", "LOG", "WHAT"]]
    rows += [_row(step, log_sizes.get(step.ordinal, 0), whole=whole)
             for step in sorted(build.instructions, key=lambda step: step.ordinal)]
    return text + "\n" + align(rows)


def _row(step: Step, log_size: int, *, whole: bool) -> list[str]:
    name = step.name.replace("\n", " ")
    return [f"@{step.ordinal}", step.outcome.value, f"{step.seconds:.2f}" if step.started else "",
            step.key if whole else step.key[:12], human_size(log_size, 3) if log_size else "",
            name if whole or len(name) <= 60 else name[:59] + "…"]


def _log_size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


COMMAND = Command(
    "builds show", "[OPTIONS] [BUILD]", run, arguments=(0, 1), takes=BUILD,
    notes="Without a BUILD, the last one. `builder logs` prints what steps printed, `builder why` why they ran.",
    flags=(Flag("json", "The whole record as JSON", Kind.BOOL), Flag("no-trunc", "Don't shorten output", Kind.BOOL)))
