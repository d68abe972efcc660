"""`builder rmi`."""

from __future__ import annotations

from builder.cli.command import Command, Invocation
from builder.cli.pflag import Flag, Kind
from builder.cli.value_types import IMAGE
from builder.errors import ImageError


def run(invocation: Invocation) -> int:
    """Removes all that can be removed; then the first error counts, as docker has it."""
    failure = None
    with invocation.open() as builder:
        for image in invocation.arguments:
            try:
                removed = builder.remove_image(image, force=invocation.flags.on("force"))
            except ImageError as error:
                failure = failure or error
                continue
            print("".join([f"Untagged: {name}\n" for name in removed.untagged]
                          + [f"Deleted: {digest}\n" for digest in removed.deleted]), end="")
    if failure is not None and not (invocation.flags.on("force") and failure.code == "image-not-stored"):
        raise failure
    return 0


COMMAND = Command(
    "rmi", "[OPTIONS] IMAGE [IMAGE...]", run, arguments=(1, None), takes=IMAGE,
    flags=(Flag("force", "Also where an image has several names; a missing image is no error", Kind.BOOL, "f"),
           Flag("no-prune", "", Kind.BOOL, hidden=True)))
