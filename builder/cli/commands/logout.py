"""`builder logout`."""

from __future__ import annotations

from builder.cli.command import Command, Invocation
from builder.cli.commands.login import DEFAULT_REGISTRY
from builder.cli.value_types import REGISTRY


def run(invocation: Invocation) -> int:
    registry = invocation.arguments[0] if invocation.arguments else DEFAULT_REGISTRY
    with invocation.open() as builder:
        known = builder.logout(registry)
    print(f"Removing login credentials for {registry}" if known else f"Not logged in to {registry}")
    return 0


COMMAND = Command("logout", "[REGISTRY]", run, arguments=(0, 1), takes=REGISTRY)
