"""Which devices steps may open: rules of the spawner's control group, for all that it starts.

Steps have CAP_MKNOD, and images may contain device nodes; without this, root in a step could read the host's disks. The
rules are runc's: any node may be made, only harmless ones opened. Version 1 has a list for that, version 2 a program.
In a user namespace the kernel itself lets nobody open a node, so there no rules are needed.
"""

from __future__ import annotations

import ctypes
import os
import struct

from builder.sandbox.runtime import kernel

OPENABLE = ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2), (136, -1))
"""Character devices as (major, minor), minor -1 for all: null, zero, full, random, urandom, tty, ptmx, pts.

Not (5, 1), which is the console of the machine: a step's /dev/console is one of pts. And not (10, 200), which runc adds
for what may administer networks.
"""

_PROG_LOAD, _PROG_ATTACH = 5, 8
_CGROUP_DEVICE_PROGRAM, _CGROUP_DEVICE_ATTACH, _ALLOW_MULTI = 15, 6, 2
_MKNOD, _CHARACTER = 1, 2
_BPF = {"x86_64": 321, "aarch64": 280}


class DeviceGuard:
    """The rules for the group `path` and all that it holds."""

    def __init__(self, path: str, *, version1: bool) -> None:
        self._path = path
        self._version1 = version1
        self._program = -1

    def apply(self) -> None:
        """Gives the group, which must exist, the rules."""
        if self._version1:
            _write(f"{self._path}/devices.deny", "a")
            for rule in ("c *:* m", "b *:* m", *(f"c {a}:{'*' if b < 0 else b} rwm" for a, b in OPENABLE)):
                _write(f"{self._path}/devices.allow", rule)
        else:
            self._program = _load(_program())
            _attach(self._program, self._path)

    def extend(self, group_dir: str) -> None:
        """Applies the rules to a container's own group, which is not below this one in version 2."""
        if not self._version1:
            _attach(self._program, group_dir)


def _program() -> bytes:
    """eBPF: allowed (1) are making nodes, and opening `OPENABLE`.

    The context is struct bpf_cgroup_dev_ctx: access << 16 | type, major, minor.
    """
    allow = struct.pack("=BBhi", 0xB7, 0, 0, 1) + struct.pack("=BBhi", 0x95, 0, 0, 0)
    code = [
        struct.pack("=BBhi", 0x61, 0x12, 0, 0),  # r2 = access and type
        struct.pack("=BBhi", 0x61, 0x14, 4, 0),  # r4 = major
        struct.pack("=BBhi", 0x61, 0x15, 8, 0),  # r5 = minor
        struct.pack("=BBhi", 0xBF, 0x23, 0, 0),  # r3 = r2
        struct.pack("=BBhi", 0x77, 0x03, 0, 16),  # r3 >>= 16: access
        struct.pack("=BBhi", 0x55, 0x03, 2, _MKNOD),  # nothing but mknod: allow
        allow,
        struct.pack("=BBhi", 0x57, 0x02, 0, 0xFFFF),  # r2 &= 0xffff: type
        struct.pack("=BBhi", 0x15, 0x02, 2, _CHARACTER),
        struct.pack("=BBhi", 0xB7, 0, 0, 0) + struct.pack("=BBhi", 0x95, 0, 0, 0),
    ]
    for major, minor in OPENABLE:
        code.append(struct.pack("=BBhi", 0x55, 0x04, 2 if minor < 0 else 3, major))
        if minor >= 0:
            code.append(struct.pack("=BBhi", 0x55, 0x05, 2, minor))
        code.append(allow)
    code.append(struct.pack("=BBhi", 0xB7, 0, 0, 0) + struct.pack("=BBhi", 0x95, 0, 0, 0))
    return b"".join(code)


def _load(program: bytes) -> int:
    text, license_name = ctypes.create_string_buffer(program), ctypes.create_string_buffer(b"Apache-2.0")
    attributes = struct.pack("=IIQQ", _CGROUP_DEVICE_PROGRAM, len(program) // 8, ctypes.addressof(text),
                             ctypes.addressof(license_name)).ljust(120, b"\0")
    return kernel.syscall("bpf load", _BPF[kernel.MACHINE], _PROG_LOAD, attributes, 120)


def _attach(program: int, group_dir: str) -> None:
    fd = os.open(group_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    attributes = struct.pack("=IIII", fd, program, _CGROUP_DEVICE_ATTACH, _ALLOW_MULTI).ljust(120, b"\0")
    try:
        kernel.syscall("bpf attach", _BPF[kernel.MACHINE], _PROG_ATTACH, attributes, 120)
    finally:
        os.close(fd)


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
