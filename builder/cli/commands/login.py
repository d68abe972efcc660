"""`builder login`."""

from __future__ import annotations

import sys

from builder.cli.command import Command, Invocation
from builder.cli.pflag import Flag, Kind
from builder.cli.value_types import REGISTRY
from builder.errors import UsageError

DEFAULT_REGISTRY = "docker.io"


def run(invocation: Invocation) -> int:
    flags = invocation.flags
    registry = invocation.arguments[0] if invocation.arguments else DEFAULT_REGISTRY
    if flags.on("password-stdin"):
        if flags.given("password"):
            raise UsageError("--password and --password-stdin are mutually exclusive")
        if not flags.given("username"):
            raise UsageError("the --password-stdin option requires --username")
        password = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    else:
        password = flags.text("password")
    username = flags.text("username") or _ask("Username: ")
    password = password or _ask_secretly("Password: ")
    with invocation.open() as builder:
        builder.login(registry, username, password)
    print("Login Succeeded")
    return 0


def _ask(prompt: str) -> str:
    if not sys.stdin.isatty():
        raise UsageError("cannot ask for a user name: standard input is not a terminal", hint="use -u and -p")
    print(prompt, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()


def _ask_secretly(prompt: str) -> str:
    import getpass

    if not sys.stdin.isatty():
        raise UsageError("cannot ask for a password: standard input is not a terminal", hint="use --password-stdin")
    return getpass.getpass(prompt)


COMMAND = Command(
    "login", "[OPTIONS] [REGISTRY]", run, arguments=(0, 1), takes=REGISTRY,
    flags=(Flag("password", "Password or token; others may see it, so better use --password-stdin", short="p"),
           Flag("password-stdin", "Read the password from standard input", Kind.BOOL),
           Flag("username", "User name", short="u")))
