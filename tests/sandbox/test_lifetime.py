"""Nothing outlives its owner: processes, mounts and control groups, whoever is killed and when."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.sandbox import open_sandbox
from builder.sandbox.attachment import RuntimeDied
from builder.sandbox.launch import SpawnerProcess
from tests.sandbox.conftest import Runner

pytestmark = pytest.mark.root

CHILD = """
import sys
from builder.sandbox import open_sandbox
from builder.sandbox.container import Container, Overlay

rootfs, state, upper, work, memory, seconds = sys.argv[1:]
container = Container(root=Overlay(lowers=(rootfs,), upper=upper, work=work), env=("PATH=/bin",), memory=int(memory),
                      argv=("/bin/sh", "-c", f"(setsid sleep {seconds} &); exec sleep {seconds}"))
sandbox = open_sandbox(state_dir=state)
sandbox.run(container, lambda stream, data: None)
"""
SECONDS = f"9{os.getpid():07}"
"""How long this test process's steps sleep, to tell them from those of others."""


def _sleepers() -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if SECONDS.encode() in (folder / "cmdline").read_bytes().split(b"\0")[1:2]:
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


def _groups(spawner: int) -> list[Path]:
    # Unlike rglob, os.walk bears with groups that others remove meanwhile.
    return [Path(folder, name) for folder, names, _ in os.walk("/sys/fs/cgroup") for name in names
            if name.startswith(f"builder-{spawner}-")]


def _wait_for(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


@contextlib.contextmanager
def _caller(runner: Runner, memory: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs a step with two sleeping processes."""
    folders = [str(runner.rootfs), *(str(runner.fresh(name)) for name in ("state", "upper", "work"))]
    child = subprocess.Popen([sys.executable, "-c", CHILD, *folders, str(memory), SECONDS], stderr=subprocess.DEVNULL,
                             env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    try:
        assert _wait_for(lambda: len(_sleepers()) == 2)
        yield child
    finally:
        child.kill()
        child.wait(timeout=10)
        assert _wait_for(lambda: not _sleepers())


def _children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("victim", ["caller", "outer spawner", "inner spawner"])
def test_killing_anyone_ends_everything(runner: Runner, tmp_path: Path, victim: str) -> None:
    with _caller(runner) as caller:
        (outer,) = _children(caller.pid)
        (inner,) = _children(outer)
        pids = {"caller": caller.pid, "outer spawner": outer, "inner spawner": inner}
        os.kill(pids[victim], signal.SIGKILL)
        assert _wait_for(lambda: not _sleepers())
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    if victim == "outer spawner":
        # It was the one to remove the group, so this is left to the next spawner.
        _run_another(runner)
    assert _wait_for(lambda: not _groups(outer))


def test_no_process_of_a_step_runs_from_a_file_of_the_host(runner: Runner) -> None:
    with _caller(runner) as caller:
        (outer,) = _children(caller.pid)
        for pid in (outer, *_children(outer)):
            assert os.readlink(f"/proc/{pid}/exe").startswith("/memfd:")


def test_limits_leave_no_groups_after_a_kill(runner: Runner) -> None:
    with _caller(runner, memory=64 << 20) as caller:
        (outer,) = _children(caller.pid)
        assert any(path.name.endswith("-1") for path in _groups(outer))
        caller.kill()
        assert _wait_for(lambda: not _sleepers() and not _groups(outer))


def _run_another(runner: Runner) -> None:
    other = open_sandbox(state_dir=str(runner.fresh("state")))
    assert other.run(runner.container("true"), lambda stream, data: None).status == 0
    other.close()


def test_close_ends_what_runs_and_may_be_called_twice(runner: Runner) -> None:
    sandbox = open_sandbox(state_dir=str(runner.fresh("state")))
    container = runner.container(f"echo up; sleep {SECONDS}")
    up = threading.Event()
    caught: list[BaseException | int] = []

    def work() -> None:
        try:
            caught.append(sandbox.run(container, lambda stream, data: up.set()).status)
        except RuntimeDied as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert up.wait(10)
    sandbox.close()
    sandbox.close()
    thread.join(10)
    assert caught == [137] and not _sleepers()
    with pytest.raises(RuntimeDied):
        sandbox.run(container, lambda stream, data: None)


def test_an_unused_sandbox_starts_nothing(tmp_path: Path) -> None:
    sandbox = open_sandbox(state_dir=str(tmp_path / "state"))
    sandbox.close()
    assert not (tmp_path / "state").exists()


def test_no_descriptors_are_left_in_the_caller(runner: Runner) -> None:
    runner.run("true")
    before = sorted(os.listdir("/proc/self/fd"))
    for script in ("true", "exit 3", "nosuch"):
        runner.run(script)
    runner.run("tty", terminal=True)
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_state_directory_stays_empty(runner: Runner) -> None:
    state = runner.fresh("state")
    sandbox = open_sandbox(state_dir=str(state))
    assert sandbox.run(runner.container("true"), lambda stream, data: None).status == 0
    sandbox.close()
    assert [path for path in state.rglob("*") if not path.is_dir()] == []


def test_a_step_takes_milliseconds(runner: Runner) -> None:
    containers = [runner.container("", argv=("/bin/true",)) for _ in range(40)]
    runner.run("true")
    start = time.perf_counter()
    for container in containers:
        assert runner.start(container).status == 0
    # 4 to 6 ms each when nothing else runs; the bound only catches what has gone wrong by an order of magnitude.
    assert (time.perf_counter() - start) / 40 < 0.1


def test_a_prepared_sandbox_runs_containers_and_leaves_nothing(runner: Runner, tmp_path: Path) -> None:
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    before = set(children.read_text().split())
    sandbox = open_sandbox(state_dir=str(tmp_path / "state"))
    sandbox.prepare()
    sandbox.prepare()
    [spawner] = set(children.read_text().split()) - before
    assert sandbox.run(runner.container("exit 3"), lambda stream, data: None).status == 3
    sandbox.close()
    sandbox.prepare()
    assert spawner not in children.read_text().split(), "the spawner is still there"
    assert set(children.read_text().split()) == before
    unused = open_sandbox(state_dir=str(tmp_path / "state"))
    unused.prepare()
    unused.close()
    assert set(children.read_text().split()) == before


def test_a_spawner_is_out_of_its_callers_session_before_it_runs_anything(tmp_path: Path) -> None:
    """Else a kill of the caller's process group, early enough, ends the one that cleans up after it."""
    for _ in range(20):
        spawner = SpawnerProcess(str(tmp_path), userxattr=False)
        spawner.start()
        try:
            assert os.getsid(spawner._pid) == spawner._pid
        finally:
            spawner.close()
