"""What a step can see and do: the same as under BuildKit."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from builder.sandbox import open_sandbox
from builder.sandbox.attachment import SetupFailed
from builder.sandbox.container import Container, Overlay
from builder.sandbox.runtime import kernel
from builder.sandbox.runtime.host import permitted_capabilities
from tests.sandbox.conftest import Runner

pytestmark = pytest.mark.root

DEFAULT_MASK = "00000000a80425fb"
"""Docker's 14 default capabilities, as BuildKit shows them in /proc/self/status."""


def _status(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+):\t(.*?)\s*$", text, re.MULTILINE))


def test_root_has_docker_s_default_capabilities(runner: Runner) -> None:
    status = _status(runner.run("", argv=("cat", "/proc/self/status")).out)
    assert [status[k] for k in ("CapPrm", "CapEff", "CapBnd")] == [DEFAULT_MASK] * 3
    assert [int(status[k], 16) for k in ("CapInh", "CapAmb")] == [0, 0]
    assert (status["NoNewPrivs"], status["Seccomp"], status["Umask"]) == ("0", "2", "0022")
    assert (status["SigIgn"], status["SigBlk"], status["Groups"]) == ("0" * 16, "0" * 16, "0")
    assert [status[k].split()[-1] for k in ("NSpid", "NSpgid", "NSsid")] == ["1", "1", "1"]


def test_other_users_have_no_capabilities(runner: Runner) -> None:
    ran = runner.run("cat /proc/self/status; echo seen > /dev/stderr; touch /nope", uid=1000, gid=1001, groups=(7, 8))
    status = _status(ran.out)
    assert [int(status[k], 16) for k in ("CapPrm", "CapEff", "CapInh", "CapAmb")] == [0] * 4
    assert status["CapBnd"] == DEFAULT_MASK
    assert status["Uid"].split() == ["1000"] * 4 and status["Gid"].split() == ["1001"] * 4
    assert status["Groups"].split() == ["7", "8", "1001"]
    assert "seen" in ran.err and "Permission denied" in ran.err


@pytest.mark.parametrize("uid", [0, 1000])
def test_no_capabilities_are_inherited(runner: Runner, uid: int) -> None:
    held = permitted_capabilities()
    kernel.capset(held, held, held)
    try:
        sandbox = open_sandbox(state_dir=str(runner.fresh("state")))
        ran = Runner(sandbox, runner.rootfs, runner.fresh("other")).run("cat /proc/self/status", uid=uid)
    finally:
        kernel.capset(held, held, 0)
    sandbox.close()
    status = _status(ran.out)
    assert [int(status[k], 16) for k in ("CapInh", "CapAmb")] == [0, 0]


def test_namespaces_are_its_own_but_for_the_network(runner: Runner) -> None:
    seen = runner.run("cd /proc/self/ns; for n in pid ipc uts mnt net user; do readlink $n; done").out.split()
    own = [os.readlink(f"/proc/self/ns/{name}") for name in ("pid", "ipc", "uts", "mnt", "net", "user")]
    assert [a == b for a, b in zip(seen, own, strict=True)] == [False, False, False, False, True, True]


def test_sees_only_its_own_processes_and_host_name(runner: Runner) -> None:
    ran = runner.run("hostname; ls /proc | grep -c '^[0-9]'; echo $$; cat /proc/1/cmdline | tr '\\0' ' '")
    name, processes, pid, command = ran.out.split("\n", 3)
    assert (name, pid) == ("buildkitsandbox", "1")
    assert int(processes) <= 4
    assert command.startswith("/bin/sh -c hostname")


def test_only_standard_descriptors_are_open(runner: Runner) -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        ran = runner.run("for f in /proc/$$/fd/*; do readlink $f; done")
    finally:
        os.close(reader)
        os.close(writer)
    assert [line.split(":")[0] for line in ran.out.split()] == ["pipe"] * 3


def test_no_path_leads_to_what_the_runtime_has_open(runner: Runner) -> None:
    for number in range(3, 24):
        with pytest.raises(SetupFailed, match=f"/proc/self/fd/{number}`: N"):
            runner.run("ls -a", cwd=f"/proc/self/fd/{number}")


@pytest.mark.parametrize(("command", "allowed"), [
    ("mount -t tmpfs none /tmp", False),
    ("umount /proc", False),
    ("unshare -m true", False),
    ("unshare -U true", False),
    ("hostname other", False),
    ("chroot / true", True),
    ("mknod /node b 7 99 && mkfifo -m 640 /fifo", True),
    ("mknod /disk b 254 0 && head -c 1 /disk", False),
    ("mknod /memory c 1 1 && head -c 1 /memory", False),
    ("mknod /nil c 1 3 && echo x > /nil", True),
    ("echo 1 > /proc/sys/kernel/sysrq", False),
    ("touch /sys/x", False),
    ("chown 5:6 /etc/passwd", True),
    ("su -c true root", True),
    ("echo x > /dev/shm/x && echo x > /dev/x && echo x > /dev/null", True),
])
def test_allowed(runner: Runner, command: str, allowed: bool) -> None:
    assert (runner.run(command).status == 0) is allowed


def test_system_mounts(runner: Runner) -> None:
    mounts = {}
    for line in runner.run("cat /proc/self/mountinfo", shm_size=1 << 20).out.splitlines():
        left, right = line.split(" - ")
        mounts[left.split()[4]] = f"{right.split()[0]} {left.split()[5]}"
    guarded = "rw,nosuid,nodev,noexec,relatime"
    assert mounts["/"] == "overlay rw,relatime"
    assert mounts["/proc"] == f"proc {guarded}"
    assert mounts["/dev"] == "tmpfs rw,nosuid"
    assert mounts["/dev/pts"] == "devpts rw,nosuid,noexec,relatime"
    assert mounts["/dev/shm"] == f"tmpfs {guarded}"
    assert mounts["/dev/mqueue"] == f"mqueue {guarded}"
    assert mounts["/sys"] == "sysfs ro,nosuid,nodev,noexec,relatime"
    assert mounts["/proc/sys"] == "proc ro,nosuid,nodev,noexec,relatime"
    assert mounts["/sys/firmware"] == "tmpfs ro,relatime"


def test_device_nodes(runner: Runner) -> None:
    script = "cd /dev && stat -c '%n %A %t:%T' * && for link in fd stdin stdout stderr ptmx; do readlink $link; done"
    listing = runner.run(script).out
    nodes = {line.split()[0]: line.split()[1:] for line in listing.splitlines() if " " in line}
    for name, number in (("null", "1:3"), ("zero", "1:5"), ("full", "1:7"), ("random", "1:8"), ("urandom", "1:9"),
                         ("tty", "5:0")):
        assert nodes[name] == ["crw-rw-rw-", number]
    assert listing.split()[-5:] == ["/proc/self/fd", *(f"/proc/self/fd/{n}" for n in range(3)), "pts/ptmx"]


@pytest.mark.parametrize("path", ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/acpi", "/sys/firmware"])
def test_masked(runner: Runner, path: str) -> None:
    ran = runner.run(f"if [ -d {path} ]; then ls -A {path}; elif [ -e {path} ]; then cat {path}; fi")
    assert (ran.status, ran.out) == (0, "")


def test_network_none_has_only_loopback(runner: Runner) -> None:
    ran = runner.run("ip -o addr | cut -d' ' -f2 | sort -u; wc -l < /proc/net/route; ls /sys/class/net", network="none")
    assert ran.out.split() == ["lo", "1", "lo"]


def test_privileged(runner: Runner) -> None:
    script = "mount -t tmpfs none /tmp && grep Cap /proc/self/status; ls /dev; mount | grep ' /sys '"
    ran = runner.run(script, privileged=True, uid=0)
    status = _status(ran.out)
    assert len(set(status.values())) == 1
    assert status["CapEff"] == _status(Path("/proc/self/status").read_text())["CapPrm"]
    assert {"kmsg", "fuse", "loop-control", "loop0"} <= set(ran.out.split())
    assert "(rw," in ran.out


def test_readonly_root(runner: Runner) -> None:
    ran = runner.run("touch /x || touch /dev/shm/x && echo fine", readonly_root=True)
    assert ran.out == "fine\n" and "Read-only file system" in ran.err


def test_scratch_image(runner: Runner) -> None:
    upper = runner.fresh("upper")
    (upper / "busybox").write_bytes((runner.rootfs / "bin" / "busybox").read_bytes())
    (upper / "busybox").chmod(0o755)
    root = Overlay(lowers=(), upper=str(upper), work=str(runner.fresh("work")))
    ran = runner.start(Container(root=root, argv=("/busybox", "touch", "/new"), env=()))
    assert ran.status == 0 and ran.written() == {"busybox", "new"}
    assert {"proc", "sys", "dev"} <= {path.name for path in upper.iterdir()}


def test_missing_working_directory_becomes_the_user_s(runner: Runner) -> None:
    ran = runner.run("pwd; touch here", cwd="/home/app", uid=1000, gid=1000)
    assert (ran.status, ran.out) == (0, "/home/app\n")
    assert ran.written() == {"home", "home/app", "home/app/here"}
    assert (ran.upper / "home").stat().st_uid == 1000


def test_upper_is_a_plain_layer(runner: Runner) -> None:
    below = runner.layer({"d/a": "a", "d/b": "b", "e/c": "c", "f": "old"})
    ran = runner.run("rm -r /d && mkdir /d && touch /d/n; rm /e/c; mv /f /g; chmod 700 /e", layers=(below,))
    assert ran.status == 0
    assert ran.written() == {"d", "d/n", "e", "e/c", "f", "g"}
    assert os.getxattr(ran.upper / "d", "trusted.overlay.opaque") == b"y"
    assert {name for name in ("e/c", "f") if (ran.upper / name).lstat().st_rdev == 0} == {"e/c", "f"}
    assert (ran.upper / "g").read_text() == "old"


def test_another_container_goes_on_where_one_ended(runner: Runner) -> None:
    container = runner.container("echo x >> /log; cat /log")
    assert [runner.start(container).out for _ in range(2)] == ["x\n", "x\nx\n"]
