"""Seccomp filters as classic BPF, and the one for the default profile.

A filter looks up the architecture, then the call's number by binary search over ranges with one answer each, so a
call costs about eight instructions where a list of comparisons would cost hundreds.
"""

from __future__ import annotations

import struct

from builder.sandbox.runtime import allowed as syscalls

KILL, ERRNO, ALLOW = 0x00000000, 0x00050000, 0x7FFF0000
_EPERM = ERRNO | 1
ENOSYS = ERRNO | 38

LOAD, JUMP, EQUAL, ABOVE, AT_LEAST, ANY_BIT, AND, RETURN = 0x20, 0x05, 0x15, 0x25, 0x35, 0x45, 0x54, 0x06
_NUMBER_OFFSET, _ARCH_OFFSET, ARGUMENTS_OFFSET = 0, 4, 16
_PRIVATE = 0xF0000

Code = list[tuple[int, int, int, int]]
"""Instructions as (code, offset if true, offset if false, constant)."""
Ranges = list[tuple[int, Code]]
"""(first number, code) in ascending order; each range ends where the next one starts."""


def answer(action: int) -> Code:
    return [(RETURN, 0, 0, action)]


def _conditional(name: str) -> Code:
    """What to do for a call of `syscalls.CONDITIONAL`; only the low half of the argument counts, as in the kernel."""
    load = (LOAD, 0, 0, ARGUMENTS_OFFSET)
    if name == "clone":
        return [load, (ANY_BIT, 1, 0, syscalls.NAMESPACE_FLAGS), *answer(ALLOW), *answer(_EPERM)]
    if name == "clone3":
        return answer(ENOSYS)
    values, hit, miss = (
        (syscalls.PERSONALITIES, ALLOW, _EPERM) if name == "personality"
        else (syscalls.REFUSED_FAMILIES, _EPERM, ALLOW)
    )
    tests = [(EQUAL, len(values) - i, 0, value) for i, value in enumerate(values)]
    return [load, *tests, *answer(miss), *answer(hit)]


def ranges(codes: dict[int, Code], gap: Code, beyond: Code) -> Ranges:
    """What to do for every number: `gap` between those of `codes`, `beyond` above them."""
    found: Ranges = [(0, gap)]
    # 32-bit Arm's private calls lie at 0xf0000, far above the rest, and must not hide that newer calls are unknown.
    highest = max(n for n in codes if n < _PRIVATE)
    for number in sorted(codes):
        code = codes[number]
        if found[-1][0] == number:
            found.pop()
        if not found or found[-1][1] != code:
            found.append((number, code))
        if number + 1 not in codes:
            found.append((number + 1, gap if number < highest or number >= _PRIVATE else beyond))
    return found


def _search(ranges: Ranges) -> Code:
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    below, above = _search(ranges[:middle]), _search(ranges[middle:])
    first = ranges[middle][0]
    if len(below) <= 255:
        return [(AT_LEAST, len(below), 0, first), *below, *above]
    return [(AT_LEAST, 0, 1, first), (JUMP, 0, 0, len(below)), *below, *above]


def program(machine: str) -> bytes:
    """The default profile for steps on a `machine` kernel (as in uname); OSError when there is no table for it."""
    if machine not in syscalls.FAMILIES:
        raise OSError(38, f"no seccomp profile for the machine `{machine}`")
    refuse, beyond = answer(_EPERM), answer(ENOSYS)
    return assemble({syscalls.AUDIT_ARCH[member]: ranges(_default(member), refuse, beyond)
                     for member in syscalls.FAMILIES[machine]})


def _default(machine: str) -> dict[int, Code]:
    allow = answer(ALLOW)
    return {number: _conditional(name) if name in syscalls.CONDITIONAL else allow
            for name, number in syscalls.numbers(machine).items()}


def assemble(architectures: dict[int, Ranges]) -> bytes:
    """An array of struct sock_filter that kills callers of other architectures than these (AUDIT_ARCH_*)."""
    code: Code = [(LOAD, 0, 0, _ARCH_OFFSET)]
    for architecture, found in architectures.items():
        body = [(LOAD, 0, 0, _NUMBER_OFFSET), *_search(found)]
        code += [(EQUAL, 1, 0, architecture), (JUMP, 0, 0, len(body)), *body]
    code += answer(KILL)
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
