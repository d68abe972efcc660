"""`builder run`: a command in a container that is gone when the command has ended."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from builder.cli.command import Command, Invocation
from builder.cli.flagvalues import key_values, lines_of
from builder.cli.pflag import Flag, Kind, Values
from builder.cli.terminal import raw_terminal, write_through
from builder.cli.value_types import FILE, IMAGE, NUMBER, PLATFORM, PULL, choice
from builder.errors import BuilderError, Cancelled, InvalidValue, UsageError

if TYPE_CHECKING:
    from builder.containers.run import RunOptions

_NOT_YET = (
    "add-host", "annotation", "blkio-weight", "cap-add", "cap-drop", "cgroup-parent", "cgroupns", "cidfile",
    "cpu-period", "cpu-quota", "cpu-shares", "cpus", "cpuset-cpus", "cpuset-mems", "device", "dns", "dns-option",
    "dns-search", "expose", "gpus", "group-add", "health-cmd", "ipc", "label", "log-driver", "log-opt", "memory",
    "memory-swap", "mount", "name", "pid", "publish", "restart", "security-opt", "shm-size",
    "stop-signal", "sysctl", "tmpfs", "ulimit", "userns", "uts", "volumes-from",
)
_NOT_YET_SHORT = {"cpu-shares": "c", "label": "l", "memory": "m", "publish": "p"}


def run(invocation: Invocation) -> int:
    """The status of the container's process; 125, as with docker, where there was none."""
    try:
        return _run(invocation)
    except Cancelled:
        raise
    except BuilderError as error:
        from builder.cli.diagnostics import report

        report(error, debug=invocation.debug)
        return 125


def _run(invocation: Invocation) -> int:
    flags = invocation.flags
    options = run_options(flags, invocation.arguments)
    stdin = sys.stdin.buffer if flags.on("interactive") else None
    sys.stdout.flush()
    with invocation.open() as builder, raw_terminal(flags.on("tty") and flags.on("interactive")):
        return builder.run(invocation.arguments[0], options, write_through, stdin, platform=flags.text("platform"),
                           pull=flags.text("pull", "missing"), note=_say)


def _say(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)


def run_options(flags: Values, arguments: tuple[str, ...]) -> RunOptions:
    """Raises UsageError for what cannot be done."""
    from builder.containers.run import RunOptions

    for name in (*_NOT_YET, "detach", "init", "publish-all"):
        if flags.given(name):
            raise UsageError(f"`--{name}` is not supported yet")
    if flags.on("tty") and not sys.stdin.isatty() and flags.on("interactive"):
        raise UsageError("the input device is not a TTY", hint="leave `-t` out")
    network = flags.text("network", "default")
    if network not in ("default", "private", "host", "none"):
        raise InvalidValue(f"network `{network}` is not supported", hint="use default, private, host or none")
    pairs = [pair for path in flags.all("env-file") for pair in lines_of(path, "env-file")]
    env = key_values([*pairs, *flags.all("env")], from_environment=True)
    return RunOptions(
        command=arguments[1:], entrypoint=flags.text("entrypoint") if flags.given("entrypoint") else None,
        env=tuple(f"{name}={value}" for name, value in env.items()), user=flags.text("user"),
        workdir=flags.text("workdir"), hostname=flags.text("hostname"),
        network=network, volumes=tuple(map(_volume, flags.all("volume"))),
        read_only=flags.on("read-only"), pids_limit=flags.value("pids-limit", 0),
        terminal=flags.on("tty"), privileged=flags.on("privileged"))


def _volume(text: str) -> tuple[str, str, bool]:
    """`HOST:CONTAINER[:ro|rw]`; the host path, the container's, and whether it is read-only."""
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if not source.startswith(("/", ".")):
        raise InvalidValue(f"`{text}` names a volume; only host paths are supported", hint="begin it with / or ./")
    if not target.startswith("/"):
        raise InvalidValue(f"`{text}` has no absolute path in the container")
    if any(part not in ("", "ro", "rw", "z", "Z") for part in mode.split(",")):
        raise InvalidValue(f"`{mode}` of `{text}` is not supported", hint="use ro or rw")
    return os.path.abspath(source), target, "ro" in mode.split(",")


COMMAND = Command(
    "run", "[OPTIONS] IMAGE [COMMAND] [ARG...]", run, interspersed=False, arguments=(1, None), takes=IMAGE,
    flags=(
        Flag("entrypoint", "Overwrite the ENTRYPOINT of the image"),
        Flag("env", "Set an environment variable (KEY=VALUE, or KEY to pass it on)", Kind.LIST, "e", metavar="list"),
        Flag("env-file", "Read environment variables from a file", Kind.LIST, metavar="file", type=FILE),
        Flag("hostname", "Host name of the container", short="h"),
        Flag("interactive", "Connect standard input", Kind.BOOL, "i"),
        Flag("network", '"default" (one of its own), "private", "host" or "none"',
             type=choice("default", "private", "host", "none")),
        Flag("pids-limit", "Limit of the container's tasks (processes and threads); -1 for no limit", metavar="int",
         type=NUMBER),
        Flag("platform", "Platform of the image (os/arch[/variant])", type=PLATFORM),
        Flag("privileged", "All capabilities, no seccomp filter", Kind.BOOL),
        Flag("pull", 'Pull the image: "always", "missing" (default), "newer" or "never"', type=PULL),
        Flag("read-only", "Mount the container's root file system read-only", Kind.BOOL),
        Flag("rm", "Remove the container when it ends; this is always so", Kind.BOOL),
        Flag("tty", "Give the container a terminal", Kind.BOOL, "t"),
        Flag("user", "User name or uid (format: <name|uid>[:<group|gid>])", short="u"),
        Flag("volume", "Mount a host path (HOST:CONTAINER[:ro])", Kind.LIST, "v", metavar="list"),
        Flag("workdir", "Working directory", short="w"),
        *(Flag(name, "", Kind.LIST, _NOT_YET_SHORT.get(name, ""), hidden=True) for name in _NOT_YET),
        Flag("detach", "", Kind.BOOL, "d", hidden=True), Flag("init", "", Kind.BOOL, hidden=True),
        Flag("publish-all", "", Kind.BOOL, "P", hidden=True),
    ))
