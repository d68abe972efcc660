"""Compiled profiles, run as the kernel runs them, against what the profiles say."""

from __future__ import annotations

import json
import os
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.sandbox.runtime import allowed as syscalls
from builder.sandbox.runtime import seccomp
from builder.sandbox.seccomp.filter import FilterTooLong, compile_profile
from builder.sandbox.seccomp.ociprofile import Action, Argument, Operator, Profile, Rule
from builder.sandbox.seccomp.syscalls import MULTIPLEXED, numbers
from builder.sandbox.spec import seccomp as default_profile
from tests.sandbox.bpf import run

KILL, KILL_PROCESS, TRAP, ERRNO, LOG, ALLOW = 0, 0x80000000, 0x00030000, 0x00050000, 0x7FFC0000, 0x7FFF0000
X86_64, I386, X32 = syscalls.AUDIT_ARCH["x86_64"], syscalls.AUDIT_ARCH["i386"], 0x40000000
MACHINES = {"x86_64": ("x86_64", X86_64, 0), "i386": ("x86_64", I386, 0), "x32": ("x86_64", X86_64, X32),
            "aarch64": ("aarch64", syscalls.AUDIT_ARCH["aarch64"], 0),
            "arm": ("aarch64", syscalls.AUDIT_ARCH["arm"], 0)}
"""Kernel, architecture and what is added to numbers."""
ALL = ("SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_ARM")


def compiled(machine: str = "x86_64", **fields: Any) -> bytes:
    return compile_profile(json.dumps(fields), machine)


def call(program: bytes, machine: str, name: str, *arguments: int) -> int:
    _, arch, bit = MACHINES[machine]
    return run(program, arch, numbers(machine)[name] | bit, *arguments)


# -- the property ------------------------------------------------------------------------------------------------------

WORDS = st.sampled_from([0, 1, 2, 7, 0xFFFFFFFE, 0xFFFFFFFF, 1 << 32, (1 << 32) + 1, (2 << 32) + 7, 2**64 - 1])
NAMES = ("read", "mkdir", "mkdirat", "ioctl", "execve", "setns", "bpf", "no_such_call")
ARGUMENTS = st.builds(Argument, index=st.integers(0, 5), value=WORDS, value_two=WORDS,
                      op=st.sampled_from(list(Operator)))
RULES = st.builds(
    Rule, names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(tuple),
    action=st.sampled_from([a for a in Action if a not in (Action.TRACE, Action.NOTIFY)]),
    errno_ret=st.none() | st.integers(0, 4095), args=st.lists(ARGUMENTS, max_size=3).map(tuple))
PROFILES = st.builds(Profile, default_action=st.sampled_from([Action.ALLOW, Action.ERRNO, Action.KILL]),
                     default_errno_ret=st.none() | st.integers(0, 4095), architectures=st.just(ALL),
                     syscalls=st.lists(RULES, max_size=6).map(tuple))


def answered(action: Action, errno: int | None) -> int:
    plain = {Action.KILL: KILL, Action.KILL_THREAD: KILL, Action.KILL_PROCESS: KILL_PROCESS, Action.TRAP: TRAP,
             Action.LOG: LOG, Action.ALLOW: ALLOW}
    return plain[action] if action in plain else ERRNO | (1 if errno is None else errno)


def holds(condition: Argument, arguments: tuple[int, ...], bits: int) -> bool:
    def cut(value: int) -> int:
        return value & ((1 << bits) - 1)

    found, value = cut(arguments[condition.index]), cut(condition.value)
    return {Operator.EQ: found == value, Operator.NE: found != value, Operator.LT: found < value,
            Operator.LE: found <= value, Operator.GT: found > value, Operator.GE: found >= value,
            Operator.MASKED_EQ: found & value == cut(condition.value_two) & value}[condition.op]


def decided(profile: Profile, name: str, arguments: tuple[int, ...], bits: int) -> int:
    """What the profile says, by the rules in `filter`'s docstring."""
    default = answered(profile.default_action, profile.default_errno_ret)
    rules = [rule for rule in profile.syscalls
             if name in rule.names and answered(rule.action, rule.errno_ret) != default]
    for rule in rules:
        if not rule.args:
            return answered(rule.action, rule.errno_ret)
    for rule in rules:
        results = [holds(condition, arguments, bits) for condition in rule.args]
        apart = len({condition.index for condition in rule.args}) < len(rule.args)
        if any(results) if apart else all(results):
            return answered(rule.action, rule.errno_ret)
    return default


@settings(max_examples=150, deadline=None)
@given(PROFILES, st.lists(st.tuples(*[WORDS] * 6), min_size=1, max_size=4), st.sampled_from(sorted(MACHINES)))
def test_the_filter_decides_as_the_profile_says(profile: Profile, called: list[tuple[int, ...]], machine: str) -> None:
    program = compile_profile(msgspec.json.encode(profile).decode(), MACHINES[machine][0])
    bits = 64 if machine in ("x86_64", "aarch64") else 32
    for name in (*NAMES, "getpid"):
        if name in numbers(machine):
            for arguments in called:
                expected = decided(profile, name, arguments, bits)
                assert call(program, machine, name, *arguments) == expected, (name, arguments)


# -- single things -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", syscalls.FAMILIES)
def test_the_usual_profile_written_down_is_the_usual_filter(kernel: str) -> None:
    """But for the socket families and namespace flags above 32 bits, which the built-in filter does not look at."""
    document = default_profile() | {"architectures": [syscalls.OCI_ARCH[m] for m in syscalls.FAMILIES[kernel]]}
    written, usual = compile_profile(json.dumps(document), kernel), seccomp.program(kernel)
    for machine in syscalls.FAMILIES[kernel]:
        arch = syscalls.AUDIT_ARCH[machine]
        conditional = {syscalls.numbers(machine).get(name) for name in syscalls.CONDITIONAL}
        for number in range(max(n for n in syscalls.numbers(machine).values() if n < 0xF0000) + 1):
            for argument in (0, 8, 38, 39, 40, 0x11, 0x10000000) if number in conditional else (0,):
                assert run(written, arch, number, argument) == run(usual, arch, number, argument), (machine, number)


def test_calls_that_are_not_known_yet() -> None:
    newest = max(numbers("x86_64").values())
    for default, answer in ((Action.ERRNO, ERRNO | 38), (Action.KILL, ERRNO | 38), (Action.ALLOW, ALLOW)):
        program = compiled(defaultAction=default, defaultErrnoRet=13)
        assert run(program, X86_64, newest + 1) == answer
        assert run(program, X86_64, 0xFFFFFFFF) == answer


def test_other_architectures_of_the_family() -> None:
    allow = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]}
    alone, both = compiled(**allow), compiled(**allow, architectures=["SCMP_ARCH_X86", "SCMP_ARCH_X32"])
    assert [call(alone, machine, "mkdir") for machine in ("x86_64", "i386", "x32")] == [ERRNO | 1, KILL, KILL]
    assert [call(alone, machine, "read") for machine in ("x86_64", "i386", "x32")] == [ALLOW, KILL, KILL]
    assert [call(both, machine, "mkdir") for machine in ("x86_64", "i386", "x32")] == [ERRNO | 1] * 3
    assert [call(both, machine, "read") for machine in ("x86_64", "i386", "x32")] == [ALLOW] * 3
    assert run(both, syscalls.AUDIT_ARCH["aarch64"], 0) == KILL
    assert (numbers("x32")["execve"], numbers("x32")["read"]) == (520, 0)


@pytest.mark.parametrize(("name", "through", "first"), [("socket", "socketcall", 1), ("shmget", "ipc", 23)])
def test_i386_cannot_go_round_a_rule(name: str, through: str, first: int) -> None:
    refused = {"names": [name], "action": "SCMP_ACT_ERRNO", "args": [{"index": 1, "value": 2, "op": "SCMP_CMP_EQ"}]}
    program = compiled(defaultAction="SCMP_ACT_ALLOW", architectures=ALL, syscalls=[refused])
    assert MULTIPLEXED[name] == (through, first)
    assert [call(program, "i386", name, 0, value) for value in (2, 3)] == [ERRNO | 1, ALLOW]
    assert [call(program, "i386", through, number, 9) for number in (first, first + 1)] == [ERRNO | 1, ALLOW]
    allowed = refused | {"action": "SCMP_ACT_ALLOW"}
    program = compiled(defaultAction="SCMP_ACT_ERRNO", architectures=ALL, syscalls=[allowed])
    assert call(program, "i386", through, first, 9) == ERRNO | 1


def test_long_programs_jump_far_enough() -> None:
    rules = [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": n + 1,
              "args": [{"index": 0, "value": n, "op": "SCMP_CMP_EQ"}]} for n in range(200)]
    program = compiled(defaultAction="SCMP_ACT_ALLOW", architectures=["SCMP_ARCH_X86"], syscalls=rules)
    for machine in ("x86_64", "i386"):
        assert [call(program, machine, "mkdir", n) for n in (0, 199, 200)] == [ERRNO | 1, ERRNO | 200, ALLOW]
        assert call(program, machine, "rmdir") == call(program, machine, "read") == ALLOW
    with pytest.raises(FilterTooLong, match="the kernel takes 4096"):
        compiled(defaultAction="SCMP_ACT_ALLOW", syscalls=[{**rule, "names": ["mkdir", "read", "fork", "bind", "mount"]}
                                                           for rule in rules])


@pytest.mark.skipif(not os.path.exists("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), reason="needs kernel headers")
@pytest.mark.parametrize(("header", "machine"), [("64", "x86_64"), ("32", "i386"), ("x32", "x32")])
def test_numbers_are_the_kernel_s(header: str, machine: str) -> None:
    with open(f"/usr/include/x86_64-linux-gnu/asm/unistd_{header}.h") as file:
        lines = [line.split(maxsplit=2) for line in file if line.startswith("#define __NR_")]
    found = {name.removeprefix("__NR_"): int(value.strip("()\n").rpartition("+")[2]) for _, name, value in lines}
    assert len(found) > 300
    assert found.items() <= numbers(machine).items()
