"""`builder diff`: the files that a step added, changed or deleted, or what differs between two steps or images."""

from __future__ import annotations

import msgspec

from builder.cli.command import Command, Invocation
from builder.cli.pflag import Flag, Kind
from builder.cli.value_types import STEP
from builder.ui.text import printable
from builder.ui.units import human_size

PLACES = """\
A step is @N of the last build (`builder why --all` shows the numbers), @~1:N of the one before, BUILD:N of any,
@last, @last-failed, or @WORDS from its name."""


def run(invocation: Invocation) -> int:
    flags = invocation.flags
    with invocation.open() as builder, builder.store.lease():
        inspector = builder.inspector
        places = [inspector.find(text) for text in invocation.arguments]
        for change in inspector.changes(*places):
            if flags.on("json"):
                print(msgspec.json.encode(change).decode())
            else:
                size = f" {human_size(change.size, 3)}" if flags.on("size") and change.size else ""
                print(f"{change.kind.value} {printable(change.path)}{size}")
    return 0


COMMAND = Command(
    "diff", "[OPTIONS] STEP [STEP]", run, arguments=(1, 2), takes=STEP, notes=PLACES,
    flags=(Flag("json", "One JSON object a line", Kind.BOOL),
           Flag("size", "Show the sizes of files", Kind.BOOL, "s")))
