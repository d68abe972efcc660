"""`builder context ls`: the files that a build would take, and which rule leaves each other one out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec

from builder.cli.build_flags import describing
from builder.cli.command import Command, Invocation
from builder.cli.pflag import Flag, FlagError, Kind
from builder.cli.value_types import DIRECTORY
from builder.ui.text import printable
from builder.ui.units import human_size

if TYPE_CHECKING:
    from builder.inspection.contextfiles import ContextFile, ContextListing


def run(invocation: Invocation) -> int:
    from builder.cli.build_options import build_options

    flags = invocation.flags
    depth = flags.text("depth", "0")
    if not depth.isdecimal():
        raise FlagError(f'invalid argument "{depth}" for "--depth" flag: not a number')
    options = build_options(flags, invocation.arguments[0] if invocation.arguments else ".")
    with invocation.open() as builder:
        listing = builder.inspector.context(options)
    if flags.on("json"):
        print(msgspec.json.format(msgspec.json.encode(listing), indent=2).decode())
        return 0
    if flags.on("suggest"):
        for suggestion in dict.fromkeys(ignored.suggestion for ignored in listing.git_ignored):
            print(suggestion)
        return 0
    for line in (*_taken(listing, int(depth)), *_git_ignored(listing),
                 *(_ignored(listing) if flags.on("ignored") else ()),
                 *(_unused(listing, int(depth)) if flags.on("unused") else ()), *_totals(listing)):
        print(line)
    return 0


def _taken(listing: ContextListing, depth: int) -> Iterator[str]:
    for taking in listing.takings:
        where = f"  (line {taking.line})" if taking.line else ""
        source = "" if taking.context == "context" else f" from context `{printable(taking.context)}`"
        yield f"{printable(taking.instruction)}{where}: {_amount(taking.files)}{source}"
        yield from _rows(taking.files, depth)
        yield ""


def _git_ignored(listing: ContextListing) -> Iterator[str]:
    if listing.git_ignored:
        yield "taken, though git ignores it (`--suggest` prints lines for .dockerignore):"
        for file in listing.git_ignored:
            count = f" ({_count(file.files)})" if file.path.endswith("/") else ""
            yield f"{human_size(file.size, 3):>9}  {printable(file.path)}{count}"
        yield ""


def _ignored(listing: ContextListing) -> Iterator[str]:
    yield "left out:" if listing.left_out else "no rule leaves anything out"
    for file in listing.left_out:
        count = f" ({_count(file.files)})" if file.path.endswith("/") else ""
        yield f"{human_size(file.size, 3):>9}  {printable(file.path)}{count}  by {file.ignore_file}:{file.line} " \
              f"`{printable(file.rule)}`"
    yield ""


def _unused(listing: ContextListing, depth: int) -> Iterator[str]:
    yield "taken by no instruction:" if listing.unused else "every file is taken by some instruction"
    yield from _rows(listing.unused, depth)
    yield ""


def _totals(listing: ContextListing) -> Iterator[str]:
    taken = {(taking.context, file.path): file for taking in listing.takings for file in taking.files}
    yield f"taken: {_amount(taken.values())}"
    left = sum(file.files for file in listing.left_out)
    yield f"left out by rules: {_count(left)}, {human_size(sum(file.size for file in listing.left_out), 3)}"
    yield f"taken by no instruction: {_amount(listing.unused)}"


def _rows(files: Iterable[ContextFile], depth: int) -> Iterator[str]:
    """A line a file; with a depth, what lies deeper is counted with its directory."""
    sizes: dict[str, int] = {}
    for file in files:
        parts = file.path.split("/")
        name = "/".join(parts[:depth]) + "/" if 0 < depth < len(parts) else file.path
        sizes[name] = sizes.get(name, 0) + file.size
    for name, size in sizes.items():
        yield f"{human_size(size, 3):>9}  {printable(name)}"


def _amount(files: Iterable[ContextFile]) -> str:
    files = list(files)
    return f"{_count(len(files))}, {human_size(sum(file.size for file in files), 3)}"


def _count(number: int) -> str:
    return "1 file" if number == 1 else f"{number} files"


COMMAND = Command(
    "context ls", "[OPTIONS] [PATH]", run, arguments=(0, 1), takes=DIRECTORY,
    notes="A build reads only what a COPY, an ADD or a mount of the chosen stages names.",
    flags=(Flag("depth", "Show directories at this depth as one line", metavar="n"),
           Flag("ignored", "Also list ignored files, and the rule that ignores each", Kind.BOOL, "i"),
           Flag("json", "Everything, as JSON", Kind.BOOL),
           Flag("suggest", "Print only lines for .dockerignore that leave out what git ignores", Kind.BOOL),
           Flag("unused", "Also list files that are neither ignored nor copied", Kind.BOOL, "u"), *describing()))
