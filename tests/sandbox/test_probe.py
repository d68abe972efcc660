"""What `probe` says is what then happens."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from builder.sandbox import open_sandbox
from builder.sandbox.probe import Fact, Findings, choose, probe
from builder.sandbox.rootless import UserNamespaceForbidden, restrictions
from tests.sandbox.conftest import Runner

NEEDED = ("kernel", "user", "user namespaces", "subordinate ids", "namespaces", "overlayfs",
          "overlayfs (user namespace)", "seccomp")


def test_probe_leaves_nothing_and_has_a_line_for_each_fact(tmp_path: Path) -> None:
    findings = probe(str(tmp_path))
    lines = list(findings.lines())
    assert not any(tmp_path.iterdir())
    assert [line[:2] for line in lines[:-1]] == ["ok" if fact.ok else "no" for fact in findings.facts]
    assert all(fact.detail for fact in findings.facts)
    assert {*NEEDED} <= {fact.name for fact in findings.facts}


@pytest.mark.root
def test_what_it_promises_to_root_holds(runner: Runner, tmp_path: Path) -> None:
    findings = probe(str(tmp_path))
    assert findings["user"].ok and choose(findings).possible
    if findings["limits: pids"].ok:
        assert runner.run("true", pids_limit=50).status == 0
    if findings["runc"].ok:
        open_sandbox(runtime=findings["runc"].detail, state_dir=str(tmp_path)).close()
    status = Path("/proc/self/status").read_text().split()
    held = int(status[status.index("CapEff:") + 1], 16)
    assert findings["CAP_SYS_RESOURCE"].ok == bool(held >> 24 & 1)


@pytest.mark.root
def test_a_folder_that_cannot_hold_layers(tmp_path: Path) -> None:
    """An overlay cannot have its upper directory on /proc; the reason is passed on."""
    findings = probe("/proc")
    assert not findings["overlayfs"].ok
    assert "layers copied" in choose(findings).sentence and findings["overlayfs"].detail in choose(findings).sentence


def _findings(**wrong: str) -> Findings:
    return Findings(tuple(Fact(name, name not in wrong, wrong.get(name, "fine")) for name in NEEDED))


@pytest.mark.parametrize(("wrong", "possible", "user"), [
    ({}, True, "root"),
    ({"user": "uid 5"}, True, "subordinate"),
    ({"user": "uid 5", "overlayfs": "only root"}, True, "subordinate"),
    ({"user": "uid 5", "subordinate ids": "none"}, True, "single"),
    ({"user": "uid 5", "user namespaces": "forbidden"}, False, "subordinate"),
    ({"overlayfs": "no such file system"}, True, "root"),
    ({"namespaces": "forbidden"}, False, "root"),
    ({"kernel": "too old"}, False, "root"),
])
def test_choice(wrong: dict[str, str], possible: bool, user: str) -> None:
    choice = choose(_findings(**wrong))
    assert (choice.possible, choice.user) == (possible, user)
    if not possible:
        assert any(f"{name}: {reason}" in choice.sentence for name, reason in wrong.items())


def test_findings_are_data() -> None:
    assert msgspec.json.decode(msgspec.json.encode(_findings()), type=Findings) == _findings()


def test_a_forbidden_namespace_is_explained() -> None:
    error = UserNamespaceForbidden("unshare CLONE_NEWUSER", 1)
    assert error.message == "unshare CLONE_NEWUSER: operation not permitted"
    assert error.hint is not None and error.hint.startswith("run as root")
    assert len(error.notes) == max(len(restrictions()), 1)


@pytest.mark.root
def test_threads_are_told_apart_from_a_ban(tmp_path: Path) -> None:
    program = """
import threading
from builder.sandbox.rootless import NotAlone, enter
stop = threading.Event()
threading.Thread(target=stop.wait).start()
try:
    enter()
except NotAlone as error:
    print(error.hint)
stop.set()
"""
    python = f"/usr/bin/python3.{sys.version_info.minor}"
    command = [python if os.path.exists(python) else sys.executable, "-c", program]
    environment = {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "PATH": os.environ["PATH"]}
    ended = subprocess.run(command, user=65534, group=65534, extra_groups=(), capture_output=True, text=True,
                           check=False, cwd="/", env=environment)
    assert "before the first thread starts" in ended.stdout, ended.stderr
