"""The commands by name. One module each, imported only when its command is called."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from builder.cli import pflag
from builder.cli.command import GLOBAL_FLAGS, Command, help_formatter
from builder.cli.pflag import Flag, FlagError, Kind, Values, write_flags
from builder.errors import UsageError
from builder.version import __version__

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
_MODULES = {"import": "import_image", "builds show": "builds_show", "builds profile": "builds_profile",
            "context ls": "context"}
ALIASES = {
    "b": "build", "buildx bake": "bake", "buildx f": "bake",
    "buildx build": "build", "image build": "build", "image ls": "images", "image list": "images",
    "image history": "history", "image inspect": "inspect", "image tag": "tag", "image rm": "rmi",
    "image remove": "rmi", "image pull": "pull", "image push": "push", "image save": "save", "image load": "load",
    "image import": "import", "system df": "du", "container run": "run", "buildx du": "du", "buildx prune": "prune",
    "builder prune": "prune", "history ls": "builds", "history inspect": "builds show", "history logs": "logs",
}
"""Docker's other names of the same commands."""

_FLAGS = (*GLOBAL_FLAGS, Flag("version", "Print the version", Kind.BOOL, "v"))


class Group(pflag.Command, click.Group):
    """`builder` itself: its global flags count before the command and behind it."""

    def __init__(self) -> None:
        super().__init__("builder", flags=(*_FLAGS, Flag("help", "", Kind.BOOL, "h", hidden=True)),
                         interspersed=False, invoke_without_command=True)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Command | None:
        return load(cmd_name) if cmd_name in SUMMARIES else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str, Command, list[str]]:
        """The command that `args` begin with, and its own arguments behind the global flags. Raises UnknownCommand."""
        words = [*args[1:], "--help"] if args[0] == "help" else args
        name, rest = find_command(words)
        values: Values = ctx.obj
        return name, load(name), [*values.as_words(), *rest]

    def invoke(self, ctx: click.Context) -> Any:
        values: Values = ctx.obj
        if values.on("version"):
            print(f"builder version {__version__}")
            return 0
        words = values.arguments
        if not words or values.on("help") or words == ("help",):
            print(self.get_help(ctx), file=sys.stdout if words or values.on("help") else sys.stderr)
            return 0
        try:
            return super().invoke(ctx)
        except FlagError as error:
            command = load(ctx.invoked_subcommand or "")
            raise error.of_command(command.name or "", command.usage) from None

    def get_help(self, ctx: click.Context) -> str:
        formatter = help_formatter()
        formatter.write("Usage:  builder [OPTIONS] COMMAND\n\nBuilds OCI images from Dockerfiles, without a daemon\n")
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))
        write_flags(formatter, "Options", _FLAGS)
        formatter.write("\nRun 'builder COMMAND --help' for more information on a command.")
        return formatter.getvalue()


def find_command(words: list[str]) -> tuple[str, list[str]]:
    """The name of the command that `words` begin with, and its arguments. Raises UnknownCommand."""
    for count in (2, 1):
        spelling = " ".join(words[:count])
        name = ALIASES.get(spelling, spelling)
        if name in SUMMARIES:
            return name, words[count:]
    raise UnknownCommand(words[0])


def load(name: str) -> Command:
    module = importlib.import_module("builder.cli.commands." + _MODULES.get(name, name))
    command: Command = module.COMMAND
    return command


class UnknownCommand(UsageError):
    code = "unknown-command"

    def __init__(self, name: str) -> None:
        from builder.golang.suggest import did_you_mean

        super().__init__(f"unknown command `{name}`",
                         hint=did_you_mean(name, SUMMARIES) or "`builder --help` lists the commands")
