"""An unprivileged user's sandbox, with subordinate ids and with a single one, run as such a user in a process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.sandbox import open_sandbox
from builder.sandbox.rootless import NeedsRoot
from builder.sandbox.runtime.spawnergroup import usual_task_limit
from tests.sandbox.conftest import make_rootfs

pytestmark = pytest.mark.root

USER = 65534
ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}

PROGRAM = """
import json, os, sys
from builder.sandbox import open_sandbox
from builder.sandbox.rootless import enter, is_inside
from builder.sandbox.container import Container, File, Overlay

rootfs, folder, script, fields, runtime = sys.argv[1:]
enter()
enter()
for name in ("upper", "work", "layer", "layer/below"):
    os.mkdir(f"{folder}/{name}")
open(f"{folder}/layer/below/f", "w").close()
root = Overlay(lowers=(rootfs, f"{folder}/layer"), upper=f"{folder}/upper", work=f"{folder}/work")
mounts = (File(target="/etc/hosts", content=b"h\\n"), File(target="/run/secrets/s", content=b"s\\n", mode=0o400))
container = Container(root=root, argv=("/bin/sh", "-c", script), env=("PATH=/bin",), mounts=mounts,
                      **json.loads(fields))
said = {1: "", 2: ""}
def output(stream, data):
    said[stream] += data.decode()
sandbox = open_sandbox(runtime=runtime, state_dir=f"{folder}/state", xattr="user")
try:
    status = sandbox.run(container, output).status
except Exception as error:
    status = str(error)
sandbox.close()
upper = {}
for path, folders, files in os.walk(f"{folder}/upper"):
    for name in folders + files:
        found = os.lstat(f"{path}/{name}")
        opaque = "user.overlay.opaque" in os.listxattr(f"{path}/{name}", follow_symlinks=False)
        upper[os.path.relpath(f"{path}/{name}", f"{folder}/upper")] = [oct(found.st_mode), found.st_uid, opaque]
print(json.dumps({"status": status, "out": said[1], "err": said[2], "upper": upper, "inside": is_inside()}))
"""


def python_of_others() -> str:
    """An interpreter of this version that the user can start; the one of the tests may lie in root's home."""
    for candidate in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        try:
            subprocess.run([candidate, "-c", "import msgspec"], user=USER, group=USER, extra_groups=(), check=True,
                           env=ENVIRONMENT, capture_output=True, cwd="/")
        except (OSError, subprocess.CalledProcessError):
            continue
        return candidate
    pytest.skip("no interpreter that another user can start has msgspec")


class Rootless:
    def __init__(self, folder: Path, *, subordinate: bool) -> None:
        self._folder = folder
        self._subordinate = subordinate
        self._serial = 0
        self._python = python_of_others()
        self._rootfs = folder / "rootfs"
        self._rootfs.mkdir(parents=True)
        make_rootfs(self._rootfs)
        subprocess.run(["chown", "-Rh", f"{USER}:{USER}", str(folder)], check=True)

    def run(self, script: str, *, runtime: str = "builtin", **fields: Any) -> dict[str, Any]:
        self._serial += 1
        folder = self._folder / f"run{self._serial}"
        folder.mkdir()
        os.chown(folder, USER, USER)
        arguments = [self._python, "-c", PROGRAM, str(self._rootfs), str(folder), script, json.dumps(fields), runtime]
        # /etc/subuid is replaced in a mount namespace of this command only.
        ids = folder / "ids"
        ids.write_text(f"nobody:100000:65536\n{USER}:100000:65536\n" if self._subordinate else "")
        setup = 'mount --bind "$0" /etc/subuid; mount --bind "$0" /etc/subgid; exec setpriv --reuid=65534 "$@"'
        command = ["unshare", "-m", "sh", "-c", setup, str(ids), "--regid=65534", "--clear-groups", *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd="/",
                               env=ENVIRONMENT)
        assert ended.returncode == 0, ended.stderr
        found: dict[str, Any] = json.loads(ended.stdout)
        assert found["inside"]
        return found


def _need() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    probe = subprocess.run(["unshare", "-U", "true"], user=USER, group=USER, extra_groups=(), check=False)
    if probe.returncode != 0:
        pytest.skip("this host lets no unprivileged user have a user namespace")


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach, which those of pytest are not."""
    with tempfile.TemporaryDirectory(prefix="builder-rootless-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def subordinate(open_folder: Path) -> Rootless:
    _need()
    if not (shutil.which("newuidmap") and os.path.exists("/etc/subuid") and os.path.exists("/etc/subgid")):
        pytest.skip("needs newuidmap (Debian: uidmap) and /etc/subuid")
    return Rootless(open_folder / "subordinate", subordinate=True)


@pytest.fixture(scope="module")
def single(open_folder: Path) -> Rootless:
    _need()
    return Rootless(open_folder / "single", subordinate=False)


SCRIPT = "id -u; cat /etc/hosts /run/secrets/s; rm -r /below && mkdir /below; rm /etc/passwd; touch /new; hostname"


def _check(ran: dict[str, Any]) -> None:
    assert (ran["status"], ran["out"], ran["err"]) == (0, "0\nh\ns\nbuildkitsandbox\n", "")
    written = {name: facts for name, facts in ran["upper"].items() if name not in ("proc", "sys", "dev")}
    assert written == {"below": ["0o40755", 0, True], "etc": ["0o40755", 0, False],
                       "etc/passwd": ["0o20000", 0, False], "new": ["0o100644", 0, False]}


def test_with_subordinate_ids(subordinate: Rootless) -> None:
    _check(subordinate.run(SCRIPT))


def test_with_a_single_id(single: Rootless) -> None:
    _check(single.run(SCRIPT))


@pytest.mark.parametrize(("kind", "uid"), [("subordinate", 0), ("subordinate", 1000), ("single", 0)])
def test_a_seccomp_profile(request: pytest.FixtureRequest, kind: str, uid: int) -> None:
    """The capability that installs a filter is not the step's."""
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 30}]}
    rootless: Rootless = request.getfixturevalue(kind)
    script = "grep -E '^(Cap|Seccomp:)' /proc/self/status; mkdir /tmp/x"
    ran = rootless.run(script, seccomp_profile=json.dumps(profile), uid=uid, gid=uid)
    assert ran["status"] == 1 and "Read-only file system" in ran["err"]
    held = dict(line.split(":\t") for line in ran["out"].splitlines())
    assert held["CapEff"] == held["CapPrm"] == ("0" * 16 if uid else "00000000a80425fb")
    assert (held["CapBnd"], held["CapInh"], held["Seccomp"]) == ("00000000a80425fb", "0" * 16, "2")


@pytest.mark.parametrize("ids", ["subordinate", "single"])
def test_runc(ids: str, request: pytest.FixtureRequest) -> None:
    if shutil.which("runc", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        pytest.skip("needs runc")
    rootless: Rootless = request.getfixturevalue(ids)
    _check(rootless.run(SCRIPT, runtime="runc"))


def test_other_users_exist_with_subordinate_ids(subordinate: Rootless) -> None:
    ran = subordinate.run("id; touch /mine /tmp/mine; chown 7 /tmp/mine", uid=1000, gid=1000, groups=[5])
    assert ran["out"] == "uid=1000 gid=1000 groups=5,1000\n"
    assert "/mine: Permission denied" in ran["err"] and "Operation not permitted" in ran["err"]
    assert ran["upper"]["tmp/mine"] == ["0o100644", 1000, False]


def test_other_users_do_not_with_a_single_id(single: Rootless) -> None:
    ran = single.run("true", uid=1000, gid=1000)
    assert "user 1000:1000 does not exist in this user namespace" in ran["status"]


@pytest.mark.parametrize(("script", "fields", "seen"), [
    ("ip -o link | wc -l", {"network": "none"}, "1"),
    ("grep CapEff /proc/self/status", {}, "CapEff:\t00000000a80425fb"),
    ("mount -t tmpfs none /tmp && echo mounted", {"privileged": True}, "mounted"),
    ("mount -t tmpfs none /tmp 2>/dev/null || echo refused", {}, "refused"),
    ("mknod /n c 1 3 2>/dev/null || echo refused", {}, "refused"),
    ("echo x > /dev/null && head -c 1 /dev/zero | wc -c", {}, "1"),
    ("touch /sys/x 2>/dev/null || echo refused", {}, "refused"),
    ("test -t 0 && echo terminal", {"terminal": True}, "terminal"),
])
def test_the_same_isolation(subordinate: Rootless, script: str, fields: dict[str, Any], seen: str) -> None:
    assert subordinate.run(script, **fields)["out"].strip() == seen


def test_a_user_s_step_sees_none_of_the_machine_s_groups(subordinate: Rootless) -> None:
    for fields in ({}, {"network": "none"}):
        ran = subordinate.run("cut -d: -f3 /proc/self/cgroup | sort -u; ls -A /sys/fs/cgroup", **fields)
        assert ran["out"] == "/\n"


FORK_BOMB = "i=0; while [ $i -lt 400 ]; do sleep 60 & i=$((i+1)); done; echo not stopped"


def test_a_user_s_tasks_are_limited_without_a_group(subordinate: Rootless) -> None:
    """By the PID namespace, which counts from 301 on."""
    ran = subordinate.run("cat /proc/sys/kernel/pid_max; echo 9999 > /proc/sys/kernel/pid_max")
    assert int(ran["out"]) == usual_task_limit() and "Read-only file system" in ran["err"]
    assert subordinate.run("cat /proc/sys/kernel/pid_max", pids_limit=-1)["out"] == "4194304\n"
    ran = subordinate.run(FORK_BOMB, pids_limit=320)
    assert "can't fork" in ran["err"] and "not stopped" not in ran["out"]
    ran = subordinate.run("true", pids_limit=300)
    assert "cgroup" in ran["status"], "too low for a namespace, and this user has no groups"


def test_without_a_namespace_the_error_says_what_to_do() -> None:
    _need()
    program = """
import json, sys
from builder.sandbox import open_sandbox
try:
    open_sandbox(state_dir="/nonexistent")
except Exception as error:
    print(json.dumps([error.code, error.message, error.hint]))
"""
    ended = subprocess.run([python_of_others(), "-c", program], user=USER, group=USER, extra_groups=(), check=True,
                           text=True, capture_output=True, cwd="/", env=ENVIRONMENT)
    error = NeedsRoot()
    assert json.loads(ended.stdout) == [error.code, error.message, error.hint]


def test_root_needs_no_namespace(tmp_path: Path) -> None:
    open_sandbox(state_dir=str(tmp_path)).close()
