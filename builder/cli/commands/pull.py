"""`builder pull`."""

from __future__ import annotations

from builder.cli.command import Command, Invocation
from builder.cli.pflag import Flag, Kind
from builder.cli.value_types import IMAGE, PLATFORM
from builder.ui.progress import open_progress


def run(invocation: Invocation) -> int:
    flags = invocation.flags
    builder = invocation.open()
    progress = open_progress("none" if flags.on("quiet") else "auto")
    try:
        with builder:
            image = builder.pull(invocation.arguments[0], platform=flags.text("platform"), on_event=progress.handle)
    finally:
        progress.close()
    if not flags.on("quiet"):
        print(f"Digest: {image.digest}")
    print(image.name)
    return 0


COMMAND = Command(
    "pull", "[OPTIONS] NAME[:TAG|@DIGEST]", run, arguments=(1, 1), takes=IMAGE,
    flags=(Flag("platform", "Platform of the image (os/arch[/variant])", type=PLATFORM),
           Flag("quiet", "Only print the image's name", Kind.BOOL, "q")))
