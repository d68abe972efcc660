"""Control groups: limits that hold, reported causes, and groups that go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.sandbox.session import SetupFailed
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
    ran = runner.run("grep -c /builder-test-parent/builder- /proc/self/cgroup; cat /proc/self/cgroup",
                     cgroup_parent="../builder-test-parent", pids_limit=100)
    assert int(ran.out.split()[0]) >= 1
    _remove_groups("builder-test-parent")


def test_a_new_parent_without_limits(runner: Runner) -> None:
    """All hierarchies take part; version 1's cpusets are born empty, and nothing may join them like that."""
    _need("cpuset")
    try:
        ran = runner.run("grep -c builder-test-new/deep/builder- /proc/self/cgroup",
                         cgroup_parent="/builder-test-new/deep")
    finally:
        _remove_groups("builder-test-new")
    assert int(ran.out) >= 1


def _remove_groups(name: str) -> None:
    for top in Path("/sys/fs/cgroup").rglob(name):
        for path in sorted((top, *(path for path in top.rglob("*") if path.is_dir())), reverse=True):
            path.rmdir()


def test_a_limit_that_cannot_be_set_is_an_error(runner: Runner) -> None:
    _need("cpuset")
    with pytest.raises(SetupFailed, match="cpuset"):
        runner.run("true", cpuset_cpus="nonsense")
