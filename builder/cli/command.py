"""The commands by name. One module each, imported only when its command is called."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from builder.cli.flags import Flag, Kind, Values, WrongArguments, describe, parse
from builder.errors import UsageError

if TYPE_CHECKING:
    from builder.api import Builder
    from builder.registry.settings import RegistrySettings

SUMMARIES = {
    "build": "Build an image from a Dockerfile",
    "bake": "Build the targets of a definition file together",
    "lint": "Check Dockerfiles by their text, and mend what can be mended",
    "fmt": "Format Dockerfiles",
    "builds": "List builds",
    "builds show": "Show all that is recorded of a build",
    "builds profile": "Show where the time of a build went",
    "why": "Say why the steps of a build ran",
    "logs": "Print what the steps of a build printed",
    "debug": "Open a shell in a step of a build, as it was",
    "diff": "Show which files a step changed",
    "ls": "List files at a step of a build or in an image",
    "cat": "Print files at a step of a build or in an image",
    "graph": "Draw the steps of a build",
    "context ls": "List the files that a build would take",
    "images": "List images",
    "history": "Show the history of an image",
    "inspect": "Show images in full",
    "tag": "Give an image another name",
    "rmi": "Remove images",
    "run": "Run a command in a new container of an image",
    "pull": "Fetch images from a registry",
    "push": "Send images to a registry",
    "login": "Log in to a registry",
    "logout": "Log out from a registry",
    "save": "Write images to an archive",
    "load": "Read images from an archive",
    "import": "Make an image from the tar of a file system",
    "du": "Show what takes space",
    "prune": "Remove what no image needs: build cache and records of builds",
    "fsck": "Check the state folder",
    "doctor": "Show what this machine allows, and what is missing",
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

GLOBAL_FLAGS = (
    Flag("root", "State folder (default: $BUILDER_ROOT, /var/lib/builder for root, else ~/.local/share/builder)",
         metavar="dir"),
    Flag("runtime", 'What runs the steps: "builtin", "runc", "crun" or a path (default "builtin")', metavar="name"),
    Flag("debug", "Show tracebacks, and warnings in full", Kind.BOOL, "D"),
)


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What a command's module defines as COMMAND."""

    usage: str
    """Behind `builder`: `tag SOURCE TARGET`."""
    run: Callable[[Invocation], int]
    """Does the work and returns the exit status. Raises BuilderError."""
    flags: tuple[Flag, ...] = ()
    interspersed: bool = True
    arguments: tuple[int, int | None] = (0, 0)
    """How many arguments, at least and at most; None for any number."""
    notes: str = ""
    """More lines for --help."""


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


def find_command(words: list[str]) -> tuple[str, list[str]]:
    """The name of the command that `words` begin with, and its arguments. Raises UnknownCommand."""
    for count in (2, 1):
        spelling = " ".join(words[:count])
        name = ALIASES.get(spelling, spelling)
        if name in SUMMARIES:
            return name, words[count:]
    raise UnknownCommand(words[0])


def load(name: str) -> Command:
    import importlib

    module = importlib.import_module("builder.cli.commands." + _MODULES.get(name, name))
    command: Command = module.COMMAND
    return command


def invoke(name: str, given: list[str], arguments: list[str]) -> int:
    """Runs the command with `given` (global flags, from before its name) and its own arguments."""
    command = load(name)
    values, rest = parse((_HELP, *command.flags, *GLOBAL_FLAGS), [*given, *arguments],
                         interspersed=command.interspersed)
    if values.on("help"):
        print(help_of(name, command))
        return 0
    least, most = command.arguments
    if len(rest) < least or (most is not None and len(rest) > most):
        wanted = f"{least}" if least == most else f"at least {least}" if most is None else f"{least} to {most}"
        plural = "" if wanted.endswith("1") else "s"
        raise WrongArguments(f"'builder {name}' requires {wanted} argument{plural}")
    return command.run(Invocation(flags=values, arguments=tuple(rest)))


def help_of(name: str, command: Command) -> str:
    parts = [f"Usage:  builder {command.usage}", SUMMARIES[name]]
    if command.notes:
        parts.append(command.notes)
    if command.flags:
        parts.append("Options:\n" + describe(command.flags, _width()))
    parts.append("Global options:\n" + describe(GLOBAL_FLAGS, _width()))
    return "\n\n".join(parts)


def overview() -> str:
    """The text of `builder --help`."""
    width = max(map(len, SUMMARIES)) + 2
    table = "\n".join(f"  {name.ljust(width)}{summary}" for name, summary in SUMMARIES.items())
    version = Flag("version", "Print the version", Kind.BOOL, "v")
    return "\n\n".join((
        "Usage:  builder [OPTIONS] COMMAND", "Builds OCI images from Dockerfiles, without a daemon",
        "Commands:\n" + table, "Options:\n" + describe((*GLOBAL_FLAGS, version), _width()),
        "Run 'builder COMMAND --help' for more information on a command."))


_HELP = Flag("help", "Print this text", Kind.BOOL, "h", hidden=True)
"""First in every command, so that another flag may have its letter."""


def _width() -> int:
    import shutil

    return min(shutil.get_terminal_size().columns, 100) if sys.stdout.isatty() else 80


class UnknownCommand(UsageError):
    code = "unknown-command"

    def __init__(self, name: str) -> None:
        from builder.golang.suggest import did_you_mean

        super().__init__(f"unknown command `{name}`",
                         hint=did_you_mean(name, SUMMARIES) or "`builder --help` lists the commands")
