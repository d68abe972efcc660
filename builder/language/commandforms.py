"""RUN, CMD, ENTRYPOINT, SHELL and HEALTHCHECK: the instructions that hold a command."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from builder.errors import DockerfileError
from builder.golang.duration import parse_duration
from builder.golang.numbers import parse_integer
from builder.golang.quote import quote
from builder.language.arguments import ArgumentsError, AtLeastOneArgument
from builder.language.forms import Form
from builder.language.heredocs import heredoc_or_word
from builder.language.instructionflags import FlagError, Flags, Kind, read_flags
from builder.language.instructions import (
    Cmd,
    CommandForm,
    Entrypoint,
    ExecForm,
    HealthcheckCmd,
    HealthcheckNone,
    Heredoc,
    Run,
    Shell,
    ShellForm,
)
from builder.language.runmounts import check_network, check_security, parse_device, parse_mount

_RUN_FLAGS = {"device": Kind.TEXTS, "mount": Kind.TEXTS, "network": Kind.TEXT, "security": Kind.TEXT}
_INTERVALS = ("interval", "timeout", "start-period", "start-interval")
_HEALTHCHECK_FLAGS = dict.fromkeys((*_INTERVALS, "retries"), Kind.TEXT)
_SHORTEST_INTERVAL = 1_000_000

T = TypeVar("T")


class InvalidHealthcheck(DockerfileError):
    code = "invalid-healthcheck"


def run(form: Form, heredocs: tuple[Heredoc, ...]) -> Run:
    flags = read_flags(form, _RUN_FLAGS)
    _checked(form, flags, "device", parse_device)
    mounts = _checked(form, flags, "mount", parse_mount)
    _checked(form, flags, "network", check_network)
    _checked(form, flags, "security", check_security)
    return Run(command=_command(form, heredocs), mounts=mounts, network=flags.text("network"),
               security=flags.text("security"), devices=flags.texts("device"))


def _checked(form: Form, flags: Flags, name: str, read: Callable[[str], T]) -> tuple[T, ...]:
    values = []
    for value, word in flags.words(name):
        try:
            values.append(read(value))
        except DockerfileError as error:
            raise error.at(form.location(word)) from None
    return tuple(values)


def cmd(form: Form, heredocs: tuple[Heredoc, ...]) -> Cmd:
    read_flags(form, {})
    return Cmd(command=_command(form, heredocs))


def entrypoint(form: Form, heredocs: tuple[Heredoc, ...]) -> Entrypoint:
    read_flags(form, {})
    return Entrypoint(command=_command(form, heredocs))


def shell(form: Form, heredocs: tuple[Heredoc, ...]) -> Shell:
    read_flags(form, {})
    if not form.arguments:
        raise AtLeastOneArgument("SHELL", form.keyword_location())
    if not form.is_json:
        raise ArgumentsError("SHELL requires the arguments to be in JSON form", location=form.location(),
                             hint='write it as SHELL ["executable", "parameter"]')
    return Shell(argv=_texts(form))


def healthcheck(form: Form, heredocs: tuple[Heredoc, ...]) -> HealthcheckNone | HealthcheckCmd:
    if not form.arguments:
        raise AtLeastOneArgument("HEALTHCHECK", form.keyword_location())
    kind, *command = form.arguments
    if kind.text.upper() == "NONE":
        if command:
            raise ArgumentsError("HEALTHCHECK NONE takes no arguments", location=form.location(command[0]))
        return HealthcheckNone()
    flags = read_flags(form, _HEALTHCHECK_FLAGS)
    if kind.text.upper() != "CMD":
        raise InvalidHealthcheck(f"unknown type {quote(kind.text.upper())} in HEALTHCHECK (try CMD)",
                                 location=form.location(kind))
    if not command:
        raise InvalidHealthcheck("missing command after HEALTHCHECK CMD", location=form.location())
    argv = tuple(word.text for word in command)
    interval, timeout, start_period, start_interval = (_interval(form, flags, name) for name in _INTERVALS)
    return HealthcheckCmd(command=ExecForm(argv) if form.is_json else ShellForm(argv[0]), interval=interval,
                          timeout=timeout, start_period=start_period, start_interval=start_interval,
                          retries=_retries(form, flags))


def _interval(form: Form, flags: Flags, name: str) -> int:
    for value, word in flags.words(name):
        if not value:
            continue
        try:
            nanoseconds = parse_duration(value)
        except ValueError as error:
            raise FlagError(str(error), location=form.location(word)) from None
        if nanoseconds and nanoseconds < _SHORTEST_INTERVAL:
            raise InvalidHealthcheck(f"interval {quote(name)} cannot be less than 1ms", location=form.location(word))
        return nanoseconds
    return 0


def _retries(form: Form, flags: Flags) -> int:
    for value, word in flags.words("retries"):
        if not value:
            continue
        try:
            retries = parse_integer(value, 32)
        except ValueError as error:
            raise FlagError(f"invalid value for --retries: {error}", location=form.location(word)) from None
        if retries < 0:
            raise InvalidHealthcheck(f"--retries cannot be negative ({retries})", location=form.location(word))
        return retries
    return 0


def _command(form: Form, heredocs: tuple[Heredoc, ...]) -> CommandForm:
    """The exec form, or the rest of the line, which may be empty."""
    if form.is_json:
        return ExecForm(_texts(form))
    text = " ".join(_texts(form))
    return ShellForm(text, heredocs, bool(heredocs) and heredoc_or_word(text) is not None)


def _texts(form: Form) -> tuple[str, ...]:
    return tuple(word.text for word in form.arguments)
