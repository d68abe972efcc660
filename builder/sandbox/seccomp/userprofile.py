"""A seccomp profile, from the file that a person wrote to what holds on this machine.

A file has Docker's form, whose rules may depend on architecture, kernel and capabilities, or that of `linux.seccomp` in
the OCI runtime specification, which is what Docker's comes down to: `load_profile` returns that form, as text.
References: github.com/moby/profiles, seccomp/seccomp_linux.go; runtime-spec, config-linux.md.
"""

from __future__ import annotations

import os
import re
from typing import Annotated

import msgspec

from builder.errors import UsageError
from builder.sandbox.runtime.allowed import FAMILIES
from builder.sandbox.seccomp.filter import FilterTooLong, compile_profile
from builder.sandbox.seccomp.ociprofile import Action, Architecture, Argument, Errno, Operator, Profile, Rule
from builder.source import Location, Source, Span

_LARGEST = 1 << 20
_GO_NAMES = {"x86_64": "amd64", "aarch64": "arm64"}


_SUPERVISED = (Action.TRACE, Action.NOTIFY)
"""Leave the decision to another process, which a step has not."""


class _Condition(msgspec.Struct, frozen=True, rename="camel"):
    caps: tuple[str, ...] | None = None
    arches: tuple[str, ...] | None = None
    min_kernel: Annotated[str, msgspec.Meta(pattern=r"^(\d{1,9}\.\d{1,9}.*)?$")] | None = None


class _DockerRule(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    name: str = ""
    names: tuple[str, ...] | None = None
    action: Action
    errno_ret: Errno | None = None
    args: tuple[Argument, ...] | None = None
    includes: _Condition | None = None
    excludes: _Condition | None = None


class _Family(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    architecture: Architecture
    sub_architectures: tuple[Architecture, ...] | None = None


class _DockerProfile(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Both forms: all that the specification has means the same in Docker's."""

    default_action: Action
    default_errno_ret: Errno | None = None
    architectures: tuple[Architecture, ...] | None = None
    arch_map: tuple[_Family, ...] | None = None
    syscalls: tuple[_DockerRule, ...] | None = None
    listener_path: str = ""


class InvalidProfile(UsageError):
    code = "seccomp-profile"

    def __init__(self, path: str, cause: str, *, hint: str | None = None, location: Location | None = None) -> None:
        super().__init__(f"the seccomp profile `{path}` cannot be used", cause=cause, location=location,
                         hint=hint or "Docker's own is a model: github.com/moby/profiles, seccomp/default.json")


def load_profile(path: str, capabilities: frozenset[str]) -> str:
    """The profile in the file as it holds here for steps with these capabilities: a `Profile`'s JSON.

    One profile gives one text. Raises InvalidProfile.
    """
    data = _read(path)
    try:
        written = msgspec.json.decode(data, type=_DockerProfile)
    except msgspec.ValidationError as error:
        raise InvalidProfile(path, str(error), hint=_suggestion(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidProfile(path, str(error), location=_place(path, data, str(error))) from None
    _check(path, written)
    machine = os.uname().machine
    rules = tuple(Rule(names=rule.names or (rule.name,), action=rule.action, errno_ret=rule.errno_ret,
                       args=rule.args or ())
                  for rule in written.syscalls or () if _holds(rule, _GO_NAMES.get(machine, machine), capabilities))
    profile = Profile(default_action=written.default_action, default_errno_ret=written.default_errno_ret,
                      architectures=_architectures(written, machine), syscalls=rules)
    text = msgspec.json.encode(profile).decode()
    _try(path, text, machine)
    return text


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise InvalidProfile(path, os.strerror(error.errno or 0).lower(),
                             hint="give the path of a JSON file, or seccomp=unconfined") from None
    if len(data) > _LARGEST:
        raise InvalidProfile(path, f"the file is larger than {_LARGEST >> 20} MiB")
    return data


def _suggestion(problem: str) -> str | None:
    """What an unknown action or operator probably was to be."""
    from builder.golang.suggest import did_you_mean

    found = re.search("Invalid enum value '([^']*)'", problem)
    return did_you_mean(found[1], (*Action, *Operator)) if found else None


def _place(path: str, data: bytes, problem: str) -> Location | None:
    """Where the text stops being JSON, if the decoder says so."""
    found = re.search(r"\(byte (\d+)\)", problem)
    if found is None:
        return None
    before = data[:int(found[1])].decode(errors="replace")
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    return Location(Source(path, data.decode(errors="replace")), Span(line, column, line, column + 1))


def _check(path: str, written: _DockerProfile) -> None:
    """What is wrong with it beside the types of its fields."""
    if written.architectures and written.arch_map:
        raise InvalidProfile(path, "it has both `architectures` and `archMap`", hint="use one of them")
    actions = {"$.defaultAction": written.default_action}
    for number, rule in enumerate(written.syscalls or ()):
        place = f"$.syscalls[{number}]"
        actions[f"{place}.action"] = rule.action
        if bool(rule.name) == bool(rule.names):
            raise InvalidProfile(path, f"it has {'both `name` and' if rule.name else 'no'} `names` - at `{place}`",
                                 hint="list the system calls in `names`")
        for index, argument in enumerate(rule.args or ()):
            if max(argument.value, argument.value_two) >> 64:
                raise InvalidProfile(path, f"a value has more than 64 bits - at `{place}.args[{index}]`")
    for place, action in actions.items():
        if action in _SUPERVISED:
            raise InvalidProfile(path, f"`{action}` asks another process, and steps have none - at `{place}`",
                                 hint="use SCMP_ACT_ERRNO to refuse a call, SCMP_ACT_LOG to have it logged")
    if written.listener_path:
        raise InvalidProfile(path, "nothing can listen to a step - at `$.listenerPath`", hint="leave it out")


def _holds(rule: _DockerRule, architecture: str, capabilities: frozenset[str]) -> bool:
    """Whether a rule counts here: each thing that it includes must be there, nothing that it excludes may be."""
    if (unwanted := rule.excludes) is not None and (
            architecture in (unwanted.arches or ()) or any(_has(capabilities, cap) for cap in unwanted.caps or ())
            or (unwanted.min_kernel and _kernel_is(unwanted.min_kernel))):
        return False
    wanted = rule.includes
    return wanted is None or bool(
        (not wanted.arches or architecture in wanted.arches)
        and all(_has(capabilities, cap) for cap in wanted.caps or ())
        and (not wanted.min_kernel or _kernel_is(wanted.min_kernel)))


def _has(capabilities: frozenset[str], name: str) -> bool:
    return name.startswith("CAP_") and name.removeprefix("CAP_") in capabilities


def _kernel_is(least: str) -> bool:
    def version(text: str) -> tuple[int, ...]:
        return tuple(map(int, re.findall(r"\d+", text)[:2]))

    return version(os.uname().release) >= version(least)


def _architectures(written: _DockerProfile, machine: str) -> tuple[str, ...]:
    own = f"SCMP_ARCH_{machine.upper()}"
    for family in written.arch_map or ():
        if family.architecture == own:
            return (own, *(family.sub_architectures or ()))
    return written.architectures or ()


def _try(path: str, text: str, machine: str) -> None:
    if machine not in FAMILIES:
        # Only OCI runtimes work here.
        return
    try:
        compile_profile(text, machine)
    except FilterTooLong as error:
        raise InvalidProfile(path, str(error), hint="use fewer rules with `args`, or fewer architectures") from None
