"""`builder save`."""

from __future__ import annotations

import os
import sys

from builder.cli.commands import Command, Invocation
from builder.cli.flags import Flag
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
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with invocation.open() as builder, open(temporary, "wb") as file:
            builder.save(invocation.arguments, file, platform=platform)
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
    return 0


COMMAND = Command(
    usage="save [OPTIONS] IMAGE [IMAGE...]", run=run, arguments=(1, None),
    flags=(Flag("output", "Write to a file instead of standard output", short="o", metavar="file"),
           Flag("platform", "Save only this platform (os/arch[/variant])")))
