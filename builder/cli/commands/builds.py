"""`builder builds`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from builder.cli.command import Command, Invocation
from builder.cli.pflag import Flag, Kind
from builder.cli.table import FORMAT_FLAG, ago, render_rows, utc

if TYPE_CHECKING:
    from builder.store.builds import Build

HEADERS = {"ID": "BUILD ID", "Name": "NAME", "Status": "STATUS", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT",
           "Duration": "DURATION", "Steps": "STEPS", "Cached": "CACHED", "Context": "CONTEXT",
           "Dockerfile": "DOCKERFILE", "Image": "IMAGE"}


def run(invocation: Invocation) -> int:
    flags = invocation.flags
    with invocation.open() as builder:
        builds = builder.builds(0 if flags.on("all") else 20)
    if flags.on("quiet"):
        print("".join(f"{build.id}\n" for build in builds), end="")
        return 0
    columns = ("ID", "Name", "Status", "CreatedSince", "Duration", "Steps", "Cached")
    print(render_rows([row_of(build) for build in builds], HEADERS, columns, flags.text("format")), end="")
    return 0


def row_of(build: Build) -> dict[str, str]:
    seconds = max((build.ended or time.time()) - build.started, 0.0)
    return {
        "ID": build.id, "Name": build.name or build.context, "Status": build.state.value,
        "CreatedSince": ago(build.started), "CreatedAt": utc(build.started), "Duration": f"{seconds:.1f}s",
        "Steps": str(len(build.instructions)),
        "Cached": str(sum(step.outcome == "cached" for step in build.instructions)),
        "Context": build.context, "Dockerfile": build.dockerfile, "Image": build.image,
    }


COMMAND = Command(
    "builds", "[OPTIONS]", run,
    flags=(Flag("all", "All of them, not only the last twenty", Kind.BOOL, "a"), FORMAT_FLAG,
           Flag("quiet", "Only show ids", Kind.BOOL, "q")))
