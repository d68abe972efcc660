"""`builder builds profile`: where the time of a build went."""

from __future__ import annotations

import msgspec

from builder.cli.command import Command, Invocation
from builder.cli.pflag import Flag, Kind
from builder.cli.value_types import BUILD


def run(invocation: Invocation) -> int:
    from builder.ui.profiletext import render

    with invocation.open() as builder:
        profile = builder.inspector.profile(builder.find_build(*invocation.arguments))
    if invocation.flags.on("json"):
        print(msgspec.json.format(msgspec.json.encode(profile), indent=2).decode())
    else:
        print(render(profile), end="")
    return 0


COMMAND = Command(
    "builds profile", "[OPTIONS] [BUILD]", run, arguments=(0, 1), takes=BUILD,
    notes="Without a BUILD, the last one. `builder build --profile` prints the same at the end of a build.",
    flags=(Flag("json", "As JSON", Kind.BOOL),))
