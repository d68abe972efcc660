"""A seccomp filter for the default profile, as classic BPF.

The filter looks up the architecture, then the call's number by binary search over ranges with one answer each, so a
call costs about eight instructions where a list of comparisons would cost hundreds.
"""

from __future__ import annotations

import struct

from builder.sandbox.runtime import syscalls

_ALLOW = 0x7FFF0000
_EPERM = 0x00050000 | 1
_ENOSYS = 0x00050000 | 38
_KILL = 0x00000000

_LOAD, _JUMP, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x05, 0x15, 0x35, 0x45, 0x06
_NUMBER_OFFSET, _ARCH_OFFSET, _FIRST_ARGUMENT_OFFSET = 0, 4, 16

_Code = list[tuple[int, int, int, int]]
"""Instructions as (code, offset if true, offset if false, constant)."""


def _answer(action: int) -> _Code:
    return [(_RETURN, 0, 0, action)]


def _conditional(name: str) -> _Code:
    """What to do for a call of `syscalls.CONDITIONAL`; only the low half of the argument counts, as in the kernel."""
    load = (_LOAD, 0, 0, _FIRST_ARGUMENT_OFFSET)
    if name == "clone":
        return [load, (_ANY_BIT, 1, 0, syscalls.NAMESPACE_FLAGS), *_answer(_ALLOW), *_answer(_EPERM)]
    if name == "clone3":
        return _answer(_ENOSYS)
    values, hit, miss = (
        (syscalls.PERSONALITIES, _ALLOW, _EPERM) if name == "personality"
        else (syscalls.REFUSED_FAMILIES, _EPERM, _ALLOW)
    )
    tests = [(_EQUAL, len(values) - i, 0, value) for i, value in enumerate(values)]
    return [load, *tests, *_answer(miss), *_answer(hit)]


def _ranges(machine: str) -> list[tuple[int, _Code]]:
    """(first number, code) in ascending order; each range ends where the next one starts."""
    known = {number: name for name, number in syscalls.numbers(machine).items()}
    refuse, allow = _answer(_EPERM), _answer(_ALLOW)
    ranges: list[tuple[int, _Code]] = [(0, refuse)]
    # 32-bit Arm's private calls lie at 0xf0000, far above the rest, and must not hide that newer calls are unknown.
    highest = max(n for n in known if n < 0xF0000)
    for number in sorted(known):
        name = known[number]
        code = _conditional(name) if name in syscalls.CONDITIONAL else allow
        if ranges[-1][0] == number:
            ranges.pop()
        if not ranges or ranges[-1][1] is not code:
            ranges.append((number, code))
        if number + 1 not in known:
            ranges.append((number + 1, refuse if number < highest or number >= 0xF0000 else _answer(_ENOSYS)))
    return ranges


def _search(ranges: list[tuple[int, _Code]]) -> _Code:
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    below, above = _search(ranges[:middle]), _search(ranges[middle:])
    first = ranges[middle][0]
    if len(below) <= 255:
        return [(_AT_LEAST, len(below), 0, first), *below, *above]
    return [(_AT_LEAST, 0, 1, first), (_JUMP, 0, 0, len(below)), *below, *above]


def program(machine: str) -> bytes:
    """The filter for steps on a `machine` kernel (as in uname); OSError when there is no table for it."""
    if machine not in syscalls.FAMILIES:
        raise OSError(38, f"no seccomp profile for the machine `{machine}`")
    code: _Code = [(_LOAD, 0, 0, _ARCH_OFFSET)]
    for member in syscalls.FAMILIES[machine]:
        body = [(_LOAD, 0, 0, _NUMBER_OFFSET), *_search(_ranges(member))]
        code += [(_EQUAL, 1, 0, syscalls.AUDIT_ARCH[member]), (_JUMP, 0, 0, len(body)), *body]
    code += _answer(_KILL)
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
