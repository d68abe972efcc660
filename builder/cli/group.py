"""The commands by name. One module each, imported only when its command is called."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from builder.cli import pflag
from builder.cli.command import GLOBAL_FLAGS, SUMMARIES, Command, help_formatter
from builder.cli.pflag import Flag, FlagError, Kind, Values, write_flags
from builder.errors import UsageError
from builder.version import __version__

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
