"""The filter, run as the kernel runs it, against the profile that it stands for."""

from __future__ import annotations

import struct

import pytest

from builder.sandbox.runtime import allowed as syscalls
from builder.sandbox.runtime import seccomp
from tests.sandbox.bpf import run

ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0


FAMILY = [(kernel, machine) for kernel, members in syscalls.FAMILIES.items() for machine in members]


@pytest.mark.parametrize(("kernel", "machine"), FAMILY)
def test_every_number(kernel: str, machine: str) -> None:
    program, arch = seccomp.program(kernel), syscalls.AUDIT_ARCH[machine]
    numbers = syscalls.numbers(machine)
    plain = {number for name, number in numbers.items() if name not in syscalls.CONDITIONAL}
    conditional = {numbers[name] for name in syscalls.CONDITIONAL if name in numbers}
    highest = max(number for number in numbers.values() if number < 0xF0000)
    for number in range(highest + 50):
        if number in conditional:
            continue
        expected = ALLOW if number in plain else EPERM if number <= highest else ENOSYS
        assert run(program, arch, number) == expected, number
    assert all(run(program, arch, number) == ALLOW for number in plain if number >= 0xF0000)


@pytest.mark.parametrize(("name", "argument", "answer"), [
    ("clone", 0x11, ALLOW), ("clone", 0x10000011, EPERM), ("clone", 0x40000000, EPERM), ("clone3", 0, ENOSYS),
    ("personality", 0, ALLOW), ("personality", 8, ALLOW), ("personality", 0xFFFFFFFF, ALLOW), ("personality", 1, EPERM),
    ("socket", 2, ALLOW), ("socket", 16, ALLOW), ("socket", 38, EPERM), ("socket", 39, ALLOW), ("socket", 40, EPERM),
    ("socket", 41, ALLOW), ("socket", 0x1_0000_0026, EPERM),
])
@pytest.mark.parametrize(("kernel", "machine"), FAMILY)
def test_conditions(kernel: str, machine: str, name: str, argument: int, answer: int) -> None:
    number = syscalls.numbers(machine)[name]
    assert run(seccomp.program(kernel), syscalls.AUDIT_ARCH[machine], number, argument) == answer


def test_other_architectures_are_killed() -> None:
    assert run(seccomp.program("x86_64"), syscalls.AUDIT_ARCH["aarch64"], 0) == KILL
    with pytest.raises(OSError, match="no seccomp profile for the machine `riscv64`"):
        seccomp.program("riscv64")


@pytest.mark.parametrize("name", ["mount", "keyctl", "add_key", "bpf", "unshare", "setns", "init_module", "kexec_load",
                                  "open_by_handle_at", "perf_event_open", "userfaultfd", "io_uring_setup", "reboot"])
def test_dangerous_calls_are_not_in_the_profile(name: str) -> None:
    assert name not in {word.partition(":")[0] for word in syscalls.NUMBERS.split()}


def test_jumps_stay_within_the_program() -> None:
    for kernel in syscalls.FAMILIES:
        code = list(struct.iter_unpack("=HBBI", seccomp.program(kernel)))
        assert len(code) < 4096
        for position, (kind, if_true, if_false, constant) in enumerate(code):
            reach = constant if kind == 0x05 else max(if_true, if_false) if kind in (0x15, 0x35, 0x45) else 0
            assert position + 1 + reach < len(code) or kind in (0x06, 0x20)
