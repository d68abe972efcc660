"""What a command is: flags by pflag's rules, docker's help and complaints, and a function that does the work."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click
import msgspec

from builder.cli import pflag
from builder.cli.pflag import TEXT, Flag, Kind, Type, Values, WrongArguments, write_flags
from builder.cli.value_types import DIRECTORY, choice

if TYPE_CHECKING:
    from builder.api import Builder
    from builder.registry.settings import RegistrySettings

GLOBAL_FLAGS = (
    Flag("root", "State folder (default: $BUILDER_ROOT, /var/lib/builder for root, else ~/.local/share/builder)",
         metavar="dir", type=DIRECTORY),
    Flag("runtime", 'What runs the steps: "builtin", "runc", "crun" or a path (default "builtin")', metavar="name",
         type=choice("builtin", "runc", "crun")),
    Flag("debug", "Show tracebacks, and warnings in full", Kind.BOOL, "D"),
)


_HELP = Flag("help", "Print this text", Kind.BOOL, "h", hidden=True)
"""First in every command, so that another flag may have its letter."""

SUMMARIES = {
    "build": "Build an image from a Dockerfile",
    "bake": "Build the targets of a definition file together",
    "lint": "Lint Dockerfiles; --fix applies safe fixes",
    "fmt": "Format Dockerfiles",
    "builds": "List builds",
    "builds show": "Show the record of a build",
    "builds profile": "Show where the time of a build went",
    "why": "Explain why build steps missed the cache",
    "logs": "Show the logs of a build",
    "debug": "Open a shell in a recorded build step",
    "diff": "Show which files a step changed",
    "ls": "List files at a step of a build or in an image",
    "cat": "Print files at a step of a build or in an image",
    "graph": "Draw the steps of a build",
    "context ls": "List the files of a build context",
    "images": "List images",
    "history": "Show the history of an image",
    "inspect": "Show detailed information on images",
    "tag": "Create a tag that refers to an image",
    "rmi": "Remove images",
    "run": "Run a command in a new container of an image",
    "pull": "Pull images from a registry",
    "push": "Push images to a registry",
    "login": "Log in to a registry",
    "logout": "Log out from a registry",
    "save": "Save images to an archive",
    "load": "Load images from an archive",
    "import": "Import a root filesystem archive as an image",
    "du": "Show disk usage",
    "prune": "Remove unused build cache and build records",
    "fsck": "Check the state folder",
    "doctor": "Check sandbox support and missing tools on this host",
    "completion": "Print the completion script of a shell",
}


class Command(pflag.Command):
    """What a command's module defines as COMMAND.

    `usage` is what stands behind the name; `run` returns the exit status and raises BuilderError; `arguments` is how
    many there are, at least and at most (None for any number); `takes` is what they are; `notes` are more lines for
    --help.
    """

    def __init__(self, name: str, usage: str, run: Callable[[Invocation], int], *, flags: Sequence[Flag] = (),
                 arguments: tuple[int, int | None] = (0, 0), takes: Type = TEXT,
                 interspersed: bool = True, notes: str = "") -> None:
        super().__init__(name, flags=(_HELP, *flags, *GLOBAL_FLAGS), interspersed=interspersed, takes=takes,
                         most=arguments[1])
        self.usage = f"{name} {usage}".rstrip()
        self.own_flags = tuple(flags)
        self.notes = notes
        self._run = run
        self.least = arguments[0]

    def invoke(self, ctx: click.Context) -> int:
        values: Values = ctx.obj
        if values.on("help"):
            print(self.get_help(ctx))
            return 0
        given, least, most = len(values.arguments), self.least, self.most
        if given < least or (most is not None and given > most):
            wanted = f"{least}" if least == most else f"at least {least}" if most is None else f"{least} to {most}"
            plural = "" if wanted.endswith("1") else "s"
            raise WrongArguments(f"'builder {self.name}' requires {wanted} argument{plural}")
        return self._run(Invocation(flags=values, arguments=values.arguments))

    def get_help(self, ctx: click.Context) -> str:
        formatter = help_formatter()
        formatter.write(f"Usage:  builder {self.usage}\n\n{SUMMARIES[self.name or '']}\n")
        if self.notes:
            formatter.write(f"\n{self.notes}\n")
        if self.own_flags:
            write_flags(formatter, "Options", self.own_flags)
        write_flags(formatter, "Global options", GLOBAL_FLAGS)
        return formatter.getvalue().rstrip("\n")


def help_formatter() -> click.HelpFormatter:
    import shutil

    return click.HelpFormatter(width=min(shutil.get_terminal_size().columns, 100) if sys.stdout.isatty() else 80)


class Invocation(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a command."""

    flags: Values
    arguments: tuple[str, ...]

    @property
    def debug(self) -> bool:
        return self.flags.on("debug")

    def open(self, registries: RegistrySettings | None = None) -> Builder:
        """The state folder, opened; without root, this process is first moved into a user namespace."""
        from builder.api import Builder

        if os.geteuid() != 0:
            from builder.sandbox.rootless import enter

            enter()
        runtime = self.flags.text("runtime") or os.environ.get("BUILDAH_RUNTIME") or "builtin"
        return Builder(self.flags.text("root") or None, runtime=runtime, registry_settings=registries)
