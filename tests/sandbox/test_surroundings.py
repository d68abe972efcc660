"""What a step cannot do to those around it: the process that serves it, other steps, and the machine's mounts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from builder.sandbox.container import Bind, Socket
from tests.sandbox.conftest import Runner
from tests.sandbox.test_mounts import host_python

pytestmark = pytest.mark.root


FLOOD = """
import socket
held = [socket.socket(socket.AF_UNIX) for _ in range(400)]
for connection in held:
    connection.connect("/run/agent")
print(sum(connection.recv(1) == b"!" for connection in held))
"""


def test_a_step_cannot_use_up_the_descriptors_of_its_server(runner: Runner, tmp_path: Path) -> None:
    """Each connection to a lent socket takes two of them; those beyond 128 are closed at once."""
    path = tmp_path / "agent"
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen(1024)
    kept: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                kept.append(server.accept()[0])
            except OSError:
                return
            kept[-1].sendall(b"!")

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    python, folders = host_python()
    mounts = (Socket(target="/run/agent", source=str(path)), *(Bind(target=name, source=name) for name in folders))
    ran = runner.run("", argv=(python, "-c", FLOOD), mounts=mounts)
    server.shutdown(socket.SHUT_RDWR)
    thread.join(10)
    server.close()
    for connection in kept:
        connection.close()
    assert (ran.status, ran.out, len(kept)) == (0, "128\n", 128), ran.err


PROGRAM = """
import subprocess, sys
from builder.sandbox import open_sandbox
from builder.sandbox.container import Bind, Container, Overlay

rootfs, state, upper, work, shared = sys.argv[1:]
script = "echo up; while [ ! -e /shared/go ]; do sleep 0.01; done; ls /shared/inner; cat /proc/self/mountinfo"
container = Container(root=Overlay(lowers=(rootfs,), upper=upper, work=work), env=("PATH=/bin",),
                      mounts=(Bind(target="/shared", source=shared),), argv=("/bin/sh", "-c", script))
sandbox = open_sandbox(state_dir=state)
def output(stream, data):
    if data == b"up\\n":
        subprocess.run(["mount", "-t", "tmpfs", "none", shared + "/inner"], check=True)
        open(shared + "/inner/secret", "w").close()
        open(shared + "/go", "w").close()
    sys.stdout.buffer.write(data)
sandbox.run(container, output)
sandbox.close()
"""


def test_what_is_mounted_later_does_not_arrive_in_a_step(runner: Runner) -> None:
    """On a machine whose mounts are shared, as systemd makes them."""
    folders = [str(runner.rootfs), *(str(runner.fresh(name)) for name in ("state", "upper", "work", "shared"))]
    os.mkdir(f"{folders[-1]}/inner")
    command = ["unshare", "-m", "--propagation", "shared", sys.executable, "-c", PROGRAM, *folders]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60,
                           env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert ended.stdout.startswith("up\n") and "secret" not in ended.stdout
    assert "/shared" in ended.stdout and "master:" not in ended.stdout and "shared:" not in ended.stdout
