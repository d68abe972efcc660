"""`builder push`."""

from __future__ import annotations

from builder.cli.command import Command, Invocation
from builder.cli.pflag import Flag, Kind
from builder.cli.value_types import IMAGE
from builder.ui.progress import open_progress


def run(invocation: Invocation) -> int:
    [name] = invocation.arguments
    quiet = invocation.flags.on("quiet")
    builder = invocation.open()
    progress = open_progress("none" if quiet else "auto")
    try:
        with builder:
            digest = builder.push(name, progress.handle)
    finally:
        progress.close()
    print(name if quiet else f"{name}: digest: {digest}")
    return 0


COMMAND = Command(
    "push", "[OPTIONS] NAME[:TAG]", run, arguments=(1, 1), takes=IMAGE,
    flags=(Flag("quiet", "Only print the image's name", Kind.BOOL, "q"),))
