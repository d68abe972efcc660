"""`builder ls`: the files at a step of a build, or in an image, in the manner of ls(1)."""

from __future__ import annotations

import os
import posixpath
import stat
import time
from collections.abc import Iterator

from builder.cli.command import Command, Invocation
from builder.cli.commands.cat import BEFORE, NoSuchFile
from builder.cli.commands.diff import PLACES
from builder.cli.pflag import Flag, Kind
from builder.cli.value_types import STEP
from builder.layer.tree import Entry
from builder.layer.view import MergedView
from builder.ui.text import printable


def run(invocation: Invocation) -> int:
    from builder.inspection.steprefs import split_path

    flags = invocation.flags
    first, path = split_path(invocation.arguments[0])
    if len(invocation.arguments) > 1:
        first, path = invocation.arguments
    with invocation.open() as builder, builder.store.lease():
        inspector = builder.inspector
        view = inspector.files(inspector.find(first), before=flags.on("before"))
        for line in listing(view, path or "/", long=flags.on("l"), recursive=flags.on("recursive")):
            print(line)
    return 0


def listing(view: MergedView, path: str, *, long: bool = False, recursive: bool = False) -> Iterator[str]:
    """The lines. Names are relative to the directory `path`. Raises NoSuchFile."""
    top = view.lstat(path) if not path.endswith("/") else view.resolve(path)
    if top is not None and top.is_link and not long:
        top = view.resolve(path)
    if top is None and path.strip("/"):
        raise NoSuchFile(printable(path))
    if top is not None and not top.is_dir:
        yield _line(top, printable(path), long=long)
        return
    directory = top.path if top is not None else ""
    entries = list(view.walk(directory) if recursive else view.children(directory))
    for entry in entries:
        name = posixpath.relpath(entry.path, directory or ".") if recursive else posixpath.basename(entry.path)
        yield _line(entry, printable(name), long=long)


def _line(entry: Entry, name: str, *, long: bool) -> str:
    if not long:
        return name + ("/" if entry.is_dir else "")
    status = entry.stat
    size = f"{os.major(status.st_rdev)},{os.minor(status.st_rdev)}" if _is_device(entry) else str(status.st_size)
    changed = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(status.st_mtime))
    target = f" -> {printable(entry.readlink())}" if entry.is_link else ""
    owner = f"{status.st_uid}:{status.st_gid}"
    return f"{stat.filemode(status.st_mode)} {owner:>9} {size:>10} {changed} {name}{target}"


def _is_device(entry: Entry) -> bool:
    return stat.S_ISCHR(entry.stat.st_mode) or stat.S_ISBLK(entry.stat.st_mode)


COMMAND = Command(
    "ls", "[OPTIONS] STEP[:/PATH] [PATH]", run, arguments=(1, 2), takes=STEP, notes=PLACES,
    flags=(BEFORE, Flag("l", "Mode, owner, size and time (UTC) too", Kind.BOOL, "l"),
           Flag("recursive", "Everything below", Kind.BOOL, "R")))
