"""Control groups: limits that hold, reported causes, and groups that go."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from builder.sandbox.attachment import SetupFailed
from builder.sandbox.runtime.spawnergroup import usual_task_limit
from tests.sandbox.conftest import Runner

pytestmark = pytest.mark.root


def _need(controller: str) -> None:
    version1 = Path("/sys/fs/cgroup", controller)
    controllers = Path("/sys/fs/cgroup/cgroup.controllers")
    available = version1.is_dir() or (controllers.exists() and controller in controllers.read_text().split())
    if not (available and os.access("/sys/fs/cgroup", os.W_OK)):
        pytest.skip(f"this machine gives us no `{controller}` control groups")


def test_memory(runner: Runner) -> None:
    _need("memory")
    ran = runner.run("tail /dev/zero; exit $?", memory=24 << 20, memory_swap=24 << 20)
    assert (ran.status, ran.exit.oom_killed) == (137, True)
    ran = runner.run("true", memory=24 << 20)
    assert (ran.status, ran.exit.oom_killed) == (0, False)


def test_processes(runner: Runner) -> None:
    _need("pids")
    ran = runner.run("for i in 1 2 3 4 5 6 7 8; do sleep 0.2 & done; wait", pids_limit=4)
    assert ran.status != 0 and "can't fork" in ran.err


def test_cpu(runner: Runner) -> None:
    _need("cpu")
    fields = {"cpu_shares": 512, "cpu_period": 50_000, "cpu_quota": 25_000, "cpuset_cpus": "0"}
    ran = runner.run("cat /sys/fs/cgroup/cpu/cpu.shares /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null"
                     " || cat /sys/fs/cgroup/cpu.max; nproc", **fields)
    assert ran.out.split() in (["512", "25000", "1"], ["25000", "50000", "1"])


def test_parent(runner: Runner) -> None:
    _need("pids")
    fields = {"cgroup_parent": "../builder-test-parent", "pids_limit": 100}
    assert "pids" in _groups_below("builder-test-parent", runner, **fields)


def test_a_new_parent_without_limits(runner: Runner) -> None:
    """All hierarchies take part; version 1's cpusets are born empty, and nothing may join them like that."""
    _need("cpuset")
    assert _groups_below("builder-test-new/deep", runner, cgroup_parent="/builder-test-new/deep")


def _groups_below(parent: str, runner: Runner, **fields: Any) -> set[str]:
    """The hierarchies in which a step has a group below `parent` while it runs, seen from outside."""
    seen: set[str] = set()
    reader, writer = os.pipe()

    def look(stream: int, data: bytes) -> None:
        for group in Path("/sys/fs/cgroup").rglob(f"{parent}/builder-*"):
            if (group / "cgroup.procs").read_text().split():
                seen.add(group.relative_to("/sys/fs/cgroup").parts[0])
        os.close(writer)

    try:
        with open(reader, "rb", buffering=0) as stdin:
            runner.sandbox.run(runner.container("echo up; read x; true", **fields), look, stdin)
    finally:
        _remove_groups(parent.split("/")[0])
    return seen


def _remove_groups(name: str) -> None:
    for top in Path("/sys/fs/cgroup").rglob(name):
        for path in sorted((top, *(path for path in top.rglob("*") if path.is_dir())), reverse=True):
            path.rmdir()


def test_a_limit_that_cannot_be_set_is_an_error(runner: Runner) -> None:
    _need("cpuset")
    with pytest.raises(SetupFailed, match="cpuset"):
        runner.run("true", cpuset_cpus="nonsense")


# -- what nobody asked for ---------------------------------------------------------------------------------------------

LOOK = """
cat /proc/self/cgroup | cut -d: -f3 | sort -u
find /sys/fs/cgroup -mindepth 2 -type d
cut -d' ' -f4,5 /proc/self/mountinfo | grep ' /sys/fs/cgroup' | cut -d' ' -f1 | sort -u
"""
"""The group's path in every hierarchy, all groups in sight, and the root of what is mounted there."""


@pytest.mark.parametrize("fields", [
    {}, {"network": "none"}, {"pids_limit": 50}, {"memory": 64 << 20}, {"privileged": True}, {"uid": 1000},
], ids=lambda fields: "-".join(fields) or "plain")
def test_a_step_sees_no_group_but_its_own(runner: Runner, fields: dict[str, Any]) -> None:
    ran = runner.run(LOOK + "ls /sys/fs/cgroup", **fields)
    words = ran.out.split()
    hierarchies = set(words[words.index("/") + 1:]) - {"/"}
    assert words.count("/") == 2 and all("/" not in name for name in hierarchies), ran.out
    ours = {path.name for path in Path("/sys/fs/cgroup").iterdir() if path.is_dir() and path.name != "unified"}
    if not Path("/sys/fs/cgroup/cgroup.procs").exists():
        assert hierarchies <= ours and "pids" in hierarchies


def test_a_step_sees_only_its_own_build_s_processes_in_its_group(runner: Runner) -> None:
    """A pid that a namespace has no number for is shown as 0 in version 1's list."""
    _need("pids")
    ran = runner.run("sort -u /sys/fs/cgroup/pids/cgroup.procs || sort -u /sys/fs/cgroup/cgroup.procs", pids_limit=50)
    assert set(ran.out.split()) <= {str(number) for number in range(10)}


def test_tasks_are_limited_unless_a_build_says_otherwise(runner: Runner) -> None:
    _need("pids")
    script = "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max"
    assert int(runner.run(script).out) == usual_task_limit() <= 4096
    assert runner.run(script, pids_limit=usual_task_limit() + 1).out == f"{usual_task_limit() + 1}\n"
    assert runner.run(script, pids_limit=-1).out == "max\n"


FORK_BOMB = "b() { b | b & b; }; b; while :; do sleep 9 & done"


def test_a_fork_bomb_takes_nothing_but_its_own_step(runner: Runner) -> None:
    _need("pids")
    said = bytearray()
    container = runner.container(FORK_BOMB, pids_limit=64)
    before = _tasks()
    bomb = threading.Thread(target=lambda: runner.sandbox.run(container, lambda stream, data: said.extend(data)))
    bomb.start()
    seen = 0
    for _ in range(20):
        assert runner.run("echo fine").out == "fine\n", "a neighbour"
        seen = max(seen, _tasks() - before)
    bomb.join(60)
    assert not bomb.is_alive() and b"can't fork" in said
    assert seen < 500


def _tasks() -> int:
    return int(Path("/proc/loadavg").read_text().split()[3].split("/")[1])


# -- version 2 alone ---------------------------------------------------------------------------------------------------

PURE = """
import sys
from builder.sandbox import open_sandbox
from builder.sandbox.container import Container, Overlay

rootfs, state, upper, work, script = sys.argv[1:]
sandbox = open_sandbox(state_dir=state)
container = Container(root=Overlay(lowers=(rootfs,), upper=upper, work=work), env=("PATH=/bin",),
                      argv=("/bin/sh", "-c", script))
def output(stream, data):
    sys.stdout.buffer.write(data)
status = sandbox.run(container, output).status
sys.stdout.flush()
sandbox.close()
sys.exit(status)
"""


def _on_version2(runner: Runner, script: str, group: str = f"builder-test-{os.getpid()}") -> str:
    """What a step says on a machine whose only hierarchy is version 2's: here, in a mount namespace of its own.

    The builder is in `group`; "" is the machine's own.
    """
    folders = [str(runner.rootfs), *(str(runner.fresh(name)) for name in ("state", "upper", "work"))]
    setup = """
        umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup || exit 99
        [ -z "$0" ] || mkdir "/sys/fs/cgroup/$0" && echo $$ > "/sys/fs/cgroup/$0/cgroup.procs"
        "$@"; status=$?
        echo $$ > /sys/fs/cgroup/cgroup.procs; [ -z "$0" ] || rmdir "/sys/fs/cgroup/$0"; exit $status"""
    command = ["unshare", "-m", "sh", "-c", setup, group, sys.executable, "-c", PURE, *folders, script]
    ended = subprocess.run(command, capture_output=True, text=True, check=False,
                           env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


@pytest.mark.parametrize("group", [f"builder-test-{os.getpid()}", ""], ids=["group", "machine"])
def test_version2_shows_the_own_group_alone(runner: Runner, group: str) -> None:
    script = LOOK + "ls /sys/fs/cgroup | grep -c group.procs; touch /sys/fs/cgroup/x 2>&1; cat /proc/sys/kernel/pid_max"
    *words, limit = _on_version2(runner, script, group).split()
    assert words[:3] == ["/", "/", "1"]
    assert " ".join(words[-3:]) == "Read-only file system"
    has_pids = not group and "pids" in Path("/sys/fs/cgroup/unified/cgroup.controllers").read_text().split()
    assert has_pids or int(limit) == usual_task_limit()


def test_version2_has_the_same_rules_for_devices(runner: Runner) -> None:
    assert _on_version2(runner, DEVICES) == OPENED


def test_version1_has_the_same_rules_for_devices(runner: Runner) -> None:
    _need("devices")
    assert runner.run(DEVICES).out == OPENED


DEVICES = """
for d in c:1:1 c:1:2 c:1:3 c:1:4 c:1:5 c:1:7 c:1:8 c:1:9 c:1:11 c:4:0 c:4:1 c:4:64 c:5:0 c:5:1 c:5:2 c:5:3 c:7:0 \
    c:10:200 c:10:229 c:10:232 c:10:237 c:13:0 c:29:0 c:136:0 c:226:0 c:240:0 b:1:0 b:7:0 b:8:0 b:253:0 b:254:0 b:259:0
do
    IFS=: read kind major minor <<END
$d
END
    mknod /node $kind $major $minor || echo "cannot make $d"
    said=$( { : < /node; } 2>&1)
    case $said in *"Operation not permitted"*) ;; *) echo $d ;; esac
    rm /node
done
"""
"""Makes nodes of the kernel's memory, its log, terminals, disks and more, and says which of them may be opened."""

OPENED = "c:1:3\nc:1:5\nc:1:7\nc:1:8\nc:1:9\nc:5:0\nc:5:2\nc:136:0\n"
