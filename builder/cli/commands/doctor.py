"""`builder doctor`."""

from __future__ import annotations

from builder.cli.command import Command, Invocation
from builder.ui.text import printable


def run(invocation: Invocation) -> int:
    with invocation.open() as builder:
        for line in builder.doctor():
            print(printable(line))
    return 0


COMMAND = Command("doctor", "", run)
