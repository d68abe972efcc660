"""`linux.seccomp` of the OCI runtime specification (config-linux.md), as values."""

from __future__ import annotations

import enum
from typing import Annotated

import msgspec


class Action(enum.StrEnum):
    KILL = "SCMP_ACT_KILL"
    KILL_THREAD = "SCMP_ACT_KILL_THREAD"
    KILL_PROCESS = "SCMP_ACT_KILL_PROCESS"
    TRAP = "SCMP_ACT_TRAP"
    ERRNO = "SCMP_ACT_ERRNO"
    LOG = "SCMP_ACT_LOG"
    ALLOW = "SCMP_ACT_ALLOW"
    TRACE = "SCMP_ACT_TRACE"
    NOTIFY = "SCMP_ACT_NOTIFY"


class Operator(enum.StrEnum):
    NE = "SCMP_CMP_NE"
    LT = "SCMP_CMP_LT"
    LE = "SCMP_CMP_LE"
    EQ = "SCMP_CMP_EQ"
    GE = "SCMP_CMP_GE"
    GT = "SCMP_CMP_GT"
    MASKED_EQ = "SCMP_CMP_MASKED_EQ"
    """The argument's bits in `value` are those of `value_two`."""


Errno = Annotated[int, msgspec.Meta(ge=0, le=4095)]
_Word = Annotated[int, msgspec.Meta(ge=0)]
Architecture = Annotated[str, msgspec.Meta(pattern="^SCMP_ARCH_[A-Z0-9_]+$")]


class Argument(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A condition on a call's argument number `index`."""

    index: Annotated[int, msgspec.Meta(ge=0, le=5)]
    value: _Word
    value_two: _Word = 0
    op: Operator


class Rule(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What happens at calls of these names, if the conditions on their arguments hold."""

    names: tuple[str, ...]
    action: Action
    errno_ret: Errno | None = None
    args: tuple[Argument, ...] = ()


class Profile(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """`linux.seccomp` of the OCI runtime specification."""

    default_action: Action
    default_errno_ret: Errno | None = None
    architectures: tuple[Architecture, ...] = ()
    """That a step's programs may be of, beside the machine's own."""
    syscalls: tuple[Rule, ...] = ()
