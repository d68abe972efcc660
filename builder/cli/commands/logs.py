"""`builder logs`: what the steps of a build printed, never clipped."""

from __future__ import annotations

from builder.cli.command import Command, Invocation
from builder.cli.commands.why import STEPS, WHICH_BUILD, asked_for
from builder.cli.streams import write_output
from builder.cli.value_types import STEP


def run(invocation: Invocation) -> int:
    with invocation.open() as builder:
        build, steps = asked_for(builder, invocation)
        for step in steps:
            log = builder.step_log(build.id, step.ordinal) if step.log else b""
            if not log:
                continue
            if len(steps) > 1:
                print(step.name)
            write_output(log if log.endswith(b"\n") else log + b"\n")
    return 0


COMMAND = Command("logs", "[OPTIONS] [STEP]", run, arguments=(0, 1), takes=STEP, notes=STEPS, flags=(WHICH_BUILD,))
