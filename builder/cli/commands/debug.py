"""`builder debug`: a shell, or a command, in a step of a recorded build as it was; what it changes is thrown away."""

from __future__ import annotations

import os
import sys

from builder.cli.command import Command, Invocation
from builder.cli.commands.cat import BEFORE
from builder.cli.commands.diff import PLACES
from builder.cli.pflag import Flag, Kind
from builder.cli.terminal import raw_terminal, write_through
from builder.cli.value_types import SECRET, STEP
from builder.ui.text import printable


def run(invocation: Invocation) -> int:
    from builder.api import BuildOptions, SecretSource, SshSource

    flags = invocation.flags
    text, *command = invocation.arguments or ("@last-failed",)
    command = command[1:] if command[:1] == ["--"] else command
    options = BuildOptions(secrets=tuple(map(SecretSource.parse, flags.all("secret"))),
                           ssh=tuple(map(SshSource.parse, flags.all("ssh"))))
    terminal = sys.stdin.isatty() and sys.stdout.isatty() if not flags.given("tty") else flags.on("tty")
    with invocation.open() as builder, builder.store.lease():
        inspector = builder.inspector
        place = inspector.find(text)
        _say(f"in {_shown(place)}; what you change here is thrown away")
        with raw_terminal(terminal and sys.stdin.isatty()):
            ended = inspector.enter(
                place, tuple(command), write_through, sys.stdin.buffer, options=options, before=flags.on("before"),
                terminal=terminal, term=os.environ.get("TERM", "") if terminal else "", note=_say)
        return ended.status


def _shown(place: object) -> str:
    step = getattr(place, "step", None)
    return f"{place} `{printable(step.name)}`, {step.outcome.value}" if step is not None else str(place)


def _say(text: str) -> None:
    print(f"builder: {text}\r", file=sys.stderr, flush=True)


COMMAND = Command(
    "debug", "[OPTIONS] [STEP [COMMAND...]]", run, arguments=(0, None), takes=STEP, interspersed=False,
    notes=f"Without a STEP it is the last one that failed, and that one is entered as it was then.\n{PLACES}",
    flags=(BEFORE,
           Flag("secret", "A secret for the step's mounts, as with `builder build`", Kind.LIST, metavar="stringArray",
                type=SECRET),
           Flag("ssh", "An SSH agent for the step's mounts, as with `builder build`", Kind.LIST, metavar="stringArray"),
           Flag("tty", "Give the command a terminal (default: if there is one here)", Kind.BOOL, "t")))
