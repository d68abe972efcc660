"""A profile as classic BPF: what libseccomp makes of it, without libseccomp.

Of several rules for one call, the first without conditions decides; else the first whose conditions all hold. Names
that a machine does not have are skipped. Calls newer than the table of calls answer ENOSYS where the profile would
refuse them, so that a C library falls back to older calls, as runc has it.
"""

from __future__ import annotations

import functools

import msgspec

from builder.sandbox.runtime import allowed as syscalls
from builder.sandbox.runtime import seccomp
from builder.sandbox.runtime.seccomp import ABOVE, AND, AT_LEAST, EQUAL, LOAD, Code, answer
from builder.sandbox.seccomp.ociprofile import Action, Argument, Operator, Profile, Rule
from builder.sandbox.seccomp.syscalls import MULTIPLEXED, numbers

_MOST_INSTRUCTIONS = 4096
_X32_BIT = 0x40000000
"""Set in the numbers of x32 calls, which come from the architecture x86_64."""
_NO_CALL = 0xFFFFFFFF
"""The number -1, by which a tracer skips a call; no program of x32 makes it."""
_LOW = 0xFFFFFFFF
_EPERM = 1

_ANSWERS = {
    Action.KILL: 0x00000000, Action.KILL_THREAD: 0x00000000, Action.KILL_PROCESS: 0x80000000, Action.TRAP: 0x00030000,
    Action.ERRNO: seccomp.ERRNO, Action.LOG: 0x7FFC0000, Action.ALLOW: seccomp.ALLOW,
}
_PERMISSIVE = (Action.ALLOW, Action.LOG)


class FilterTooLong(ValueError):
    """The kernel takes no filter of so many instructions."""


@functools.lru_cache(8)
def compile_profile(text: str, machine: str) -> bytes:
    """The filter for a `Profile`'s JSON on a `machine` kernel (as in uname), as an array of struct sock_filter.

    Raises FilterTooLong.
    """
    profile = msgspec.json.decode(text, type=Profile)
    default = answer(_answer(profile.default_action, profile.default_errno_ret))
    beyond = default if profile.default_action in _PERMISSIVE else answer(seccomp.ENOSYS)
    found = {}
    for member in syscalls.FAMILIES[machine]:
        if member != machine and syscalls.OCI_ARCH[member] not in profile.architectures:
            continue
        ranges = seccomp.ranges(_codes(profile, member), default, beyond)
        if member == "x86_64":
            x32 = [(0, answer(seccomp.KILL))]
            if "SCMP_ARCH_X32" in profile.architectures:
                x32 = seccomp.ranges(_codes(profile, "x32"), default, beyond)
            ranges += [*((first + _X32_BIT, code) for first, code in x32), (_NO_CALL, beyond)]
        found[syscalls.AUDIT_ARCH[member]] = ranges
    program = seccomp.assemble(found)
    if (length := len(program) // 8) > _MOST_INSTRUCTIONS:
        raise FilterTooLong(f"it makes a filter of {length} instructions, and the kernel takes {_MOST_INSTRUCTIONS}")
    return program


def _answer(action: Action, errno: int | None) -> int:
    return _ANSWERS[action] | ((_EPERM if errno is None else errno) if action is Action.ERRNO else 0)


def _codes(profile: Profile, machine: str) -> dict[int, Code]:
    """What to do at each call that the machine has."""
    default = _answer(profile.default_action, profile.default_errno_ret)
    always: dict[str, int] = {}
    sometimes: dict[str, list[tuple[tuple[Argument, ...], int]]] = {}
    for rule in profile.syscalls:
        action = _answer(rule.action, rule.errno_ret)
        if action == default:
            continue
        for name in rule.names:
            for called, conditions in _ways(rule, name, machine):
                if conditions:
                    sometimes.setdefault(called, []).extend((each, action) for each in _alternatives(conditions))
                else:
                    always.setdefault(called, action)
    wide = machine in ("x86_64", "aarch64")
    codes = {}
    for name, number in numbers(machine).items():
        tests = [] if name in always else sometimes.get(name, [])
        code = [instruction for conditions, action in tests for instruction in _test(conditions, action, wide=wide)]
        codes[number] = [*code, *answer(always.get(name, default))]
    return codes


def _ways(rule: Rule, name: str, machine: str) -> list[tuple[str, tuple[Argument, ...]]]:
    """The calls that do what `name` does: on i386 some can also be made by way of another one.

    That one's arguments are in memory, where no filter sees them. So a rule that refuses, refuses it whatever they are;
    one that allows has its conditions but for the first argument's, as in libseccomp.
    """
    ways = [(name, rule.args)]
    if machine == "i386" and name in MULTIPLEXED:
        called, number = MULTIPLEXED[name]
        kept = tuple(a for a in rule.args if a.index) if rule.action in _PERMISSIVE else ()
        ways.append((called, (Argument(index=0, value=number, op=Operator.EQ), *kept)))
    return ways


def _alternatives(conditions: tuple[Argument, ...]) -> list[tuple[Argument, ...]]:
    """One rule, or one for each condition where two are about the same argument (as in runc)."""
    if len({each.index for each in conditions}) == len(conditions):
        return [conditions]
    return [(each,) for each in conditions]


def _test(conditions: tuple[Argument, ...], action: int, *, wide: bool) -> Code:
    """Answers if all conditions hold, else goes on behind this."""
    code = answer(action)
    for condition in reversed(conditions):
        code = [*_condition(condition, len(code), wide=wide), *code]
    return code


def _condition(condition: Argument, over: int, *, wide: bool) -> Code:
    """Goes on if it holds, else skips the `over` instructions that follow as well.

    The kernel's machine has 32 bits: the high half decides, or leaves it to the low one. 32-bit programs have no high
    half, and what they leave there does not count.
    """
    offset = seccomp.ARGUMENTS_OFFSET + 8 * condition.index
    value, mask = condition.value, None
    if condition.op is Operator.MASKED_EQ:
        value, mask = condition.value_two & condition.value, condition.value
    low = _compare(condition.op, offset, value & _LOW, None if mask is None else mask & _LOW, over)
    if not wide:
        return low
    load = [(LOAD, 0, 0, offset + 4), *([] if mask is None else [(AND, 0, 0, mask >> 32)])]
    high, rest = value >> 32, len(low)
    match condition.op:
        case Operator.EQ | Operator.MASKED_EQ:
            return [*load, (EQUAL, 0, rest + over, high), *low]
        case Operator.NE:
            return [*load, (EQUAL, 0, rest, high), *low]
        case Operator.GT | Operator.GE:
            return [*load, (ABOVE, rest + 1, 0, high), (EQUAL, 0, rest + over, high), *low]
        case Operator.LT | Operator.LE:
            return [*load, (ABOVE, rest + 1 + over, 0, high), (EQUAL, 0, rest, high), *low]


def _compare(op: Operator, offset: int, value: int, mask: int | None, over: int) -> Code:
    """The same of a low half by itself."""
    load = (LOAD, 0, 0, offset)
    match op:
        case Operator.MASKED_EQ:
            return [load, (AND, 0, 0, mask or 0), (EQUAL, 0, over, value)]
        case Operator.EQ:
            return [load, (EQUAL, 0, over, value)]
        case Operator.NE:
            return [load, (EQUAL, over, 0, value)]
        case Operator.GT:
            return [load, (ABOVE, 0, over, value)]
        case Operator.GE:
            return [load, (AT_LEAST, 0, over, value)]
        case Operator.LT:
            return [load, (AT_LEAST, over, 0, value)]
        case Operator.LE:
            return [load, (ABOVE, over, 0, value)]
