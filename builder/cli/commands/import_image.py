"""`builder import`."""

from __future__ import annotations

import sys

from builder.cli.command import Command, Invocation
from builder.cli.pflag import Flag, Kind
from builder.cli.value_types import FILE, PLATFORM
from builder.errors import InvalidValue


def run(invocation: Invocation) -> int:
    source, *names = invocation.arguments
    flags = invocation.flags
    if "://" in source:
        raise InvalidValue("importing from a URL is not supported yet", hint=f"curl -L {source} | builder import -")
    with invocation.open() as builder, open(sys.stdin.fileno() if source == "-" else source, "rb",
                                            closefd=source != "-") as archive:
        image = builder.import_image(archive, tag=names[0] if names else "", changes=flags.all("change"),
                                     message=flags.text("message"), platform=flags.text("platform"))
    print(image)
    return 0


COMMAND = Command(
    "import", "[OPTIONS] file|- [REPOSITORY[:TAG]]", run, arguments=(1, 2), takes=FILE,
    flags=(Flag("change", "Apply a Dockerfile instruction to the image (`CMD [\"sh\"]`)", Kind.LIST, "c",
                metavar="list"),
           Flag("message", "Comment of the image", short="m"),
           Flag("platform", "Platform of the image (os/arch[/variant])", type=PLATFORM)))
