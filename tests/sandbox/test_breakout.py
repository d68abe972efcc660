"""A hostile root in a step, and hostile images: each way out that is known, and that it is closed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.sandbox.attachment import SetupFailed
from tests.sandbox.conftest import Runner
from tests.sandbox.test_rootless import Rootless, open_folder, subordinate

pytestmark = pytest.mark.root
__all__ = ["open_folder", "subordinate"]

REFUSED = {
    "core-pattern": "echo '|/x' > /proc/sys/kernel/core_pattern",
    "modprobe": "echo /x > /proc/sys/kernel/modprobe",
    "binfmt": "echo :x:M::x::/x: > /proc/sys/fs/binfmt_misc/register",
    "uevent-helper": "echo /x > /sys/kernel/uevent_helper",
    "sysrq": "echo b > /proc/sysrq-trigger",
    "release-agent": "echo /x > /sys/fs/cgroup/memory/release_agent",
    "notify-on-release": "echo 1 > /sys/fs/cgroup/memory/notify_on_release",
    "more-tasks": "cd /sys/fs/cgroup/pids || cd /sys/fs/cgroup && test -e pids.max && echo max > pids.max",
    "more-devices": "echo a > /sys/fs/cgroup/devices/devices.allow",
    "leave-the-group": "cd /sys/fs/cgroup/pids || cd /sys/fs/cgroup && test -e tasks && echo 1 > tasks",
    "remount": "mount -o remount,rw /proc/sys || mount -o remount,rw /sys",
    "uncover": "umount /proc/kcore || umount /proc/sys || umount -l /sys/firmware",
    "mount-proc": "mkdir /p && mount -t proc proc /p",
    "mount-disk": "mknod /disk b 254 0 && mkdir /d && mount /disk /d",
    "read-disk": "mknod /disk b 254 0 && head -c 1 /disk",
    "read-memory": "mknod /memory c 1 1 && head -c 1 /memory",
    "console": "mknod /c c 5 1 && printf x > /c",
    "kernel-log": "mknod /log c 1 11 && head -c 1 /log || dmesg",
    "namespaces": "unshare -m true || unshare -r true || nsenter -t 1 -n true",
    "chroot-out": "mkdir /x && chroot /x /bin/true",
    "module": "insmod /bin/busybox",
    "clock": "date -s 2000-01-01; test $(date +%Y) = 2000",
    "signal-others": "kill -9 -1",
    "reboot": "reboot -f",
    "swap": "dd if=/dev/zero of=/s bs=4096 count=10 && mkswap /s && swapon /s",
    "hostname": "hostname other",
    "keys": "test -s /proc/keys",
}
"""Scripts of root that must fail."""


@pytest.mark.parametrize("name", REFUSED)
def test_root_is_refused(runner: Runner, name: str) -> None:
    assert runner.run(f"({REFUSED[name]}) >/dev/null 2>&1 && echo done", network="none").out == "", name


def test_root_of_a_user_is_refused(subordinate: Rootless) -> None:
    script = "\n".join(f"({text}) >/dev/null 2>&1 && echo {name}" for name, text in REFUSED.items())
    assert subordinate.run(f"{script}\necho end", network="none")["out"] == "end\n"


def test_what_the_runtime_runs_from_is_closed_and_its_own(runner: Runner) -> None:
    """CVE-2019-5736, CVE-2024-21626: by /proc/self/exe and by descriptors that are still open."""
    for argv in (("/proc/self/exe", "-c", "print(1)"), ("/proc/1/exe", "-c", "print(1)")):
        assert runner.run("", argv=argv).status == 255
    script = "ls -l /proc/1/fd | grep -v pipe: | grep -c ' -> '; tr '\\0' '\\n' < /proc/1/environ; readlink /proc/1/exe"
    assert runner.run(script, env=("PATH=/bin",)).out.split() == ["0", "PATH=/bin", "HOME=/root", "/bin/busybox"]


@pytest.mark.parametrize("path", ["proc", "dev", "sys"])
def test_a_link_in_place_of_a_system_directory_is_refused(runner: Runner, path: str) -> None:
    with pytest.raises(SetupFailed, match=f"`/{path}` in the image is not a directory"):
        runner.run("true", layers=(runner.layer({path: "-> /etc"}),))


def test_links_below_dev_are_covered(runner: Runner) -> None:
    below = runner.layer({"dev/pts": "-> /etc", "dev/shm": "-> /etc", "dev/null": "text", "etc/target": "x"})
    ran = runner.run("stat -c %F /dev/pts /dev/shm /dev/null; ls /etc", layers=(below,))
    assert ran.out.split("\n")[:3] == ["directory", "directory", "character special file"]
    assert ran.written() == set()


@pytest.mark.parametrize("target", ["/dev/zero", "/proc/self/mem", "/dev/stdin", "/proc/1/root/proc/kmsg", "/loop"])
def test_a_passwd_that_leads_elsewhere_hangs_nothing(runner: Runner, target: str) -> None:
    below = runner.layer({"etc/passwd": f"-> {target}", "loop": "-> /loop"})
    assert runner.run("echo $HOME", layers=(below,), uid=5).out == "/\n"


def test_a_library_that_the_image_preloads_is_loaded_in_the_step_alone(runner: Runner, tmp_path: Path) -> None:
    """What the runtime would load after it has entered the image: the loader's list, C libraries, Python's modules."""
    names = ("etc/ld.so.preload", "etc/ld.so.cache", "usr/lib/python3/os.py", "lib/x86_64-linux-gnu/libc.so.6",
             "lib64/ld-linux-x86-64.so.2", "usr/lib/locale/locale-archive", "etc/nsswitch.conf")
    below = runner.layer(dict.fromkeys(names, "/evil.so\n"))
    for fields in ({}, {"uid": 5, "gid": 5}, {"terminal": True}, {"argv": ("nothing-there",)}):
        ran = runner.run("echo fine", layers=(below,), **fields)
        assert (ran.out + ran.err).strip() in ("fine", 'exec: "nothing-there": executable file not found in $PATH')


def test_no_way_out_by_a_working_directory_in_proc(runner: Runner) -> None:
    for path in ("/proc/1/root", "/proc/1/cwd", "/proc/self/task/1/root/proc/self/cwd"):
        assert "etc" in runner.run("ls /; pwd -P", cwd=path).out
        assert not os.path.exists(runner.run("readlink -f .", cwd=path).out.strip() + "/.never")


def test_a_step_s_terminal_is_its_own(runner: Runner) -> None:
    """Typing into it (TIOCSTI) reaches nobody else, and it is no terminal of the caller's."""
    ran = runner.run("tty; ls /dev/pts", terminal=True)
    assert ran.out.split() == ["/dev/pts/0", "0", "ptmx"]
