"""What a step finds where the kernel or the machine offers less: older overlayfs calls, no group of devices."""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec
import pytest

from builder.sandbox.container import File
from tests.sandbox.conftest import Runner

pytestmark = pytest.mark.root

PROGRAM = """
import _socket, json, os, sys
from builder.sandbox.runtime import cgroups, kernel, step
from builder.sandbox.runtime.host import Host

container = json.loads(sys.argv[1])
for mount in container["mounts"]:
    mount["content"] = mount["content"].encode()
kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWPID)
kernel.make_slave()
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
host = Host(sys.argv[2], userxattr=False, hierarchies=cgroups.hierarchies(), group=None)
host.appends_lowers = False
control, _ = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
step.run(container, host, None, control, (0, 1, 2))
"""


def test_without_newer_calls_and_without_a_guard(runner: Runner) -> None:
    layers = tuple(runner.layer({f"l{number}": "x"}) for number in range(200))
    script = ("ls / | grep -c '^l[0-9]'; cat /hosts; rm /l7; stat -c '%A %t:%T' /dev/null; echo x > /dev/null; "
              "mknod /n c 1 3; (echo x > /n) 2>&1; mknod /dev/n c 1 3; (echo x > /dev/n) 2>&1; "
              "grep -E ' / / | /dev ' /proc/self/mountinfo | cut -d' ' -f5,6")
    container = runner.container(script, layers=layers)
    document = msgspec.to_builtins(container)
    document["mounts"] = [msgspec.to_builtins(File(target="/hosts", content=b""), builtin_types=(bytes,))]
    document["mounts"][0]["content"] = "h\n"
    state = runner.fresh("state")
    ended = subprocess.run([sys.executable, "-c", PROGRAM, msgspec.json.encode(document).decode(), str(state)],
                           capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
                           env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)})
    assert ended.stdout.splitlines() == [
        "200", "h", "crw-rw-rw- 1:3", "/bin/sh: can't create /n: Permission denied",
        "/bin/sh: can't create /dev/n: Permission denied", "/ rw,nodev,relatime", "/dev rw,nosuid,nodev",
    ], ended.stderr
