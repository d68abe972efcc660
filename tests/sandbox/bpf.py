"""What the kernel makes of a seccomp filter."""

from __future__ import annotations

import struct


def run(program: bytes, arch: int, number: int, *arguments: int) -> int:
    """What classic BPF answers for a struct seccomp_data; arguments that are not given are 0."""
    data = struct.pack("=IIQ6Q", number, arch, 0, *arguments, *[0] * (6 - len(arguments)))
    code = list(struct.iter_unpack("=HBBI", program))
    position = accumulator = 0
    while True:
        kind, if_true, if_false, constant = code[position]
        position += 1
        match kind:
            case 0x20:
                accumulator = struct.unpack_from("=I", data, constant)[0]
            case 0x54:
                accumulator &= constant
            case 0x05:
                position += constant
            case 0x15:
                position += if_true if accumulator == constant else if_false
            case 0x25:
                position += if_true if accumulator > constant else if_false
            case 0x35:
                position += if_true if accumulator >= constant else if_false
            case 0x45:
                position += if_true if accumulator & constant else if_false
            case 0x06:
                return constant
            case other:
                raise AssertionError(f"instruction {other:#x}")
