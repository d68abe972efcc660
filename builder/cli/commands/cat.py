"""`builder cat`: files as they were at a step of a build, or as they are in an image."""

from __future__ import annotations

import errno
import os

from builder.cli.command import Command, Invocation
from builder.cli.commands.diff import PLACES
from builder.cli.pflag import Flag, Kind
from builder.cli.streams import write_output
from builder.cli.value_types import STEP
from builder.errors import ImageError, UsageError
from builder.layer.tree import Entry
from builder.layer.view import MergedView
from builder.ui.text import printable

BEFORE = Flag("before", "What the step started from instead of what it left", Kind.BOOL)
_PIECE = 1 << 20


class NoSuchFile(ImageError):
    code = "no-such-file"

    def __init__(self, path: str, why: int = errno.ENOENT) -> None:
        super().__init__(f"`{path}`: {os.strerror(why).lower()}")


def run(invocation: Invocation) -> int:
    from builder.inspection.steprefs import split_path

    first, *paths = invocation.arguments
    if not paths:
        first, path = split_path(first)
        paths = [path] if path else []
    if not paths:
        raise UsageError("which file?", hint="builder cat STEP:/path, or builder cat STEP PATH...")
    with invocation.open() as builder, builder.store.lease():
        inspector = builder.inspector
        view = inspector.files(inspector.find(first), before=invocation.flags.on("before"))
        for path in paths:
            _copy(find_file(view, path))
    return 0


def find_file(view: MergedView, path: str) -> Entry:
    """The regular file that `path` leads to. Raises NoSuchFile."""
    entry = view.resolve(path)
    if entry is None:
        raise NoSuchFile(printable(path))
    if not entry.is_file:
        raise NoSuchFile(printable(path), errno.EISDIR if entry.is_dir else errno.EINVAL)
    return entry


def _copy(entry: Entry) -> None:
    with open(entry.open(), "rb") as file:
        while piece := file.read(_PIECE):
            write_output(piece)


COMMAND = Command(
    "cat", "[OPTIONS] STEP:/PATH | STEP PATH...", run, arguments=(1, None), takes=STEP, notes=PLACES,
    flags=(BEFORE,))
