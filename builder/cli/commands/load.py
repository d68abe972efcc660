"""`builder load`."""

from __future__ import annotations

import sys

from builder.cli.command import Command, Invocation
from builder.cli.pflag import Flag, Kind
from builder.cli.value_types import FILE
from builder.errors import UsageError
from builder.reference import Reference


def run(invocation: Invocation) -> int:
    path = invocation.flags.text("input")
    if not path and sys.stdin.isatty():
        raise UsageError("requested load from stdin, but stdin is empty", hint="use -i, or redirect the input")
    with invocation.open() as builder:
        if path:
            with open(path, "rb") as file:
                names = builder.load(file)
        else:
            names = builder.load(sys.stdin.buffer)
    for name in names:
        is_id = name.startswith("sha256:")
        print(f"Loaded image ID: {name}" if is_id else f"Loaded image: {Reference.parse(name).familiar}")
    return 0


COMMAND = Command(
    "load", "[OPTIONS]", run,
    flags=(Flag("input", "Read from a file instead of standard input", short="i", metavar="file", type=FILE),
           Flag("quiet", "", Kind.BOOL, "q", hidden=True)))
