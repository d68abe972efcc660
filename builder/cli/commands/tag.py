"""`builder tag`."""

from __future__ import annotations

from builder.cli.command import Command, Invocation
from builder.cli.value_types import IMAGE


def run(invocation: Invocation) -> int:
    with invocation.open() as builder:
        builder.tag(*invocation.arguments)
    return 0


COMMAND = Command("tag", "SOURCE TARGET", run, arguments=(2, 2), takes=IMAGE)
