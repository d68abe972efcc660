"""`builder save`."""

from __future__ import annotations

import sys

from builder.cli.command import Command, Invocation
from builder.cli.pflag import Flag
from builder.cli.value_types import FILE, IMAGE, PLATFORM
from builder.errors import UsageError


def run(invocation: Invocation) -> int:
    path = invocation.flags.text("output")
    platform = invocation.flags.text("platform")
    if not path:
        if sys.stdout.isatty():
            raise UsageError("cowardly refusing to save to a terminal", hint="use -o, or redirect the output")
        with invocation.open() as builder:
            builder.save(invocation.arguments, sys.stdout.buffer, platform=platform)
        return 0
    from builder.images.outfile import Destination

    with invocation.open() as builder, Destination(path) as file:
        builder.save(invocation.arguments, file, platform=platform)
    return 0


COMMAND = Command(
    "save", "[OPTIONS] IMAGE [IMAGE...]", run, arguments=(1, None), takes=IMAGE,
    flags=(Flag("output", "Write to a file instead of standard output", short="o", metavar="file", type=FILE),
           Flag("platform", "Save only this platform (os/arch[/variant])", type=PLATFORM)))
