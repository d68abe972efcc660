"""`builder fmt`: formats the files that are named in place, or standard input to standard output."""

from __future__ import annotations

import sys

from builder.cli.command import Command, Invocation
from builder.cli.dockerfiles import (
    STDIN,
    NothingNamed,
    diff,
    find_dockerfiles,
    is_input_given,
    read_dockerfile,
    write_dockerfile,
)
from builder.cli.pflag import Flag, Kind
from builder.cli.value_types import FILE
from builder.errors import BuilderError


def run(invocation: Invocation) -> int:
    """0, or 1 where --check or --diff found something to change; 1 too if a file could not be formatted."""
    status = 0
    for path in _paths(invocation):
        try:
            status = max(status, _format(path, invocation))
        except BuilderError as error:
            from builder.cli.diagnostics import report

            status = max(status, report(error, debug=invocation.debug))
    return status


def _paths(invocation: Invocation) -> list[str]:
    """Raises NothingNamed: without an argument, files are only looked at."""
    flags = invocation.flags
    if not invocation.arguments and is_input_given():
        return [STDIN]
    if not invocation.arguments and not flags.on("check") and not flags.on("diff"):
        raise NothingNamed("fmt")
    return find_dockerfiles(invocation.arguments)


def _format(path: str, invocation: Invocation) -> int:
    """Raises CannotRead, NothingNamed, DockerfileErrors: such a file is left alone."""
    from builder.language.format import format_dockerfile
    from builder.language.parser import parse

    flags = invocation.flags
    source = read_dockerfile(path)
    if not source.text and not invocation.arguments:
        raise NothingNamed("fmt")
    text = format_dockerfile(parse(source))
    is_changed = text != source.text
    if flags.on("diff"):
        print(diff(source.name, source.text, text), end="")
    if flags.on("check"):
        if is_changed and not flags.on("diff"):
            print(source.name)
    elif path == STDIN and not flags.on("diff"):
        print(text, end="")
    elif is_changed and not flags.on("diff"):
        write_dockerfile(path, text)
        print(f"formatted {path}", file=sys.stderr)
    return int(is_changed and (flags.on("check") or flags.on("diff")))


COMMAND = Command(
    "fmt", "[OPTIONS] [PATH...]", run, arguments=(0, None), takes=FILE,
    flags=(
        Flag("check", "Change nothing; list the files that are not formatted and exit with status 1", Kind.BOOL),
        Flag("diff", "Change nothing; print what would change and exit with status 1 if anything would", Kind.BOOL)),
    notes="A path may be a directory, for all Dockerfiles in it that git does not ignore. Without one, and with\n"
          "`-`, standard input is formatted to standard output. What a Dockerfile means never changes: the text of\n"
          "RUN instructions and here-documents stays as it is.")
