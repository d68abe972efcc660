"""runc shows a step the same things as the built-in runtime."""

from __future__ import annotations

import os
import re
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.sandbox import open_sandbox
from builder.sandbox.attachment import SetupFailed
from builder.sandbox.container import Bind, Container, File, Overlay, OverlayMount, Rlimit, Sandbox, Tmpfs
from builder.sandbox.ociruntime import RuntimeNotFound, RuntimeUnsuitable, is_hybrid
from builder.sandbox.runtime import facts
from builder.sandbox.spec import oci_config
from tests.sandbox.conftest import Ran, Runner

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def runc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    if shutil.which("runc", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        pytest.skip("needs runc")
    sandbox = open_sandbox(runtime="runc", state_dir=str(tmp_path_factory.mktemp("runc")))
    yield sandbox
    sandbox.close()


@pytest.fixture
def other(runc: Sandbox, rootfs: Path, tmp_path: Path) -> Runner:
    folder = tmp_path / "runc"
    folder.mkdir()
    return Runner(runc, rootfs, folder)


SEEN = """
grep -E '^(Cap|NoNewPrivs|Seccomp|Umask|Uid|Gid|Groups|Sig[IBC])' /proc/self/status
cut -d' ' -f5,6 /proc/self/mountinfo | grep -v '^/sys/fs/cgroup' | sort
cd /dev; for f in *; do stat -c '%n %A %t:%T %u:%g' $f; done; for f in fd stdin stdout stderr ptmx; do readlink $f; done
env | sort; hostname; pwd; ulimit -n; ulimit -c; id
ls -ld /etc /etc/hosts /run/secrets/s /t /b; cat /b/x /o /run/secrets/s
echo x > /etc/hosts; echo x > /b/new; mount -t tmpfs none /tmp; mknod /n b 7 99; cat /proc/keys; ls /sys/firmware
rm -rf /below; mkdir /below; echo y > /new; exit 7
"""


def _file_kinds(ran: Ran) -> set[tuple[str, str]]:
    return {(name, stat.filemode((ran.upper / name).lstat().st_mode)) for name in ran.written()}


@pytest.mark.parametrize("fields", [
    {}, {"uid": 1000, "gid": 1001, "groups": (5,)}, {"network": "none"}, {"readonly_root": True},
    {"cwd": "/made/here", "hostname": "named"}, {"rlimits": (Rlimit("nofile", 99, 199),)}, {"privileged": True},
], ids=lambda fields: "-".join(fields) or "plain")
def test_same_as_builtin(runner: Runner, other: Runner, fields: dict[str, Any]) -> None:
    ran = {}
    for name, each in (("builtin", runner), ("runc", other)):
        layer = each.layer({"b/x": "bound", "below/f": "1", "o": "overlaid"})
        os.utime(layer, (0, 0))
        mounts = (File(target="/etc/hosts", content=b"h\n"), File(target="/run/secrets/s", content=b"s\n", mode=0o400),
                  Bind(target="/b", source=str(layer / "b")), Tmpfs(target="/t", size=1 << 20),
                  OverlayMount(target="/o", overlay=Overlay(lowers=(str(layer),)), subpath="o"))
        base = each.layer({"below/f": "1"})
        if "cwd" in fields:
            base = each.layer({"below/f": "1", "made/here/": ""})
        ran[name] = each.run(SEEN, layers=(base,), mounts=mounts, **fields)
    # Times, and the keys that an insecure step can list.
    passing = re.compile(r"\w{3} +\d+ +\d\d:\d\d|^[0-9a-f]{8} .*", re.MULTILINE)
    for side in ("out", "err"):
        builtin, runc = (sorted(passing.sub("", getattr(ran[name], side)).split()) for name in ("builtin", "runc"))
        assert builtin == runc
    assert ran["builtin"].status == ran["runc"].status == 7 or fields.get("readonly_root")
    assert _file_kinds(ran["builtin"]) == _file_kinds(ran["runc"])


@pytest.mark.parametrize(("argv", "status"), [
    (("/bin/sh", "-c", "exit 3"), 3), (("nosuch",), 127), (("/nosuch",), 127), (("/etc/passwd",), 126),
    (("/etc",), 126), (("/bin/sh", "-c", "sh -c 'kill -9 $$'; exit $?"), 137),
])
def test_status(other: Runner, argv: tuple[str, ...], status: int) -> None:
    assert other.run("", argv=argv).status == status


def test_what_runc_cannot_set_up_is_an_error(other: Runner) -> None:
    with pytest.raises(SetupFailed, match="inside /proc"):
        other.run("true", mounts=(Tmpfs(target="/proc/x"),))


def test_a_step_cannot_pretend_that_runc_failed(other: Runner) -> None:
    ran = other.run("echo '{\"level\": \"error\", \"msg\": \"runc run failed\"}' >&2; exit 1")
    assert ran.status == 1


def test_terminal(other: Runner) -> None:
    ran = other.run("test -t 0 && test -t 1 && echo terminal; exit 4", terminal=True)
    assert (ran.status, ran.out.strip()) == (4, "terminal")


def test_leaves_no_groups(other: Runner) -> None:
    assert other.run("true", memory=64 << 20).status == 0
    assert not any(Path("/sys/fs/cgroup", name, "builder").exists() for name in (".", *os.listdir("/sys/fs/cgroup")))


def test_one_that_ends_beside_others_is_not_waited_for(other: Runner) -> None:
    up = threading.Event()
    sleeper = threading.Thread(target=other.sandbox.run, args=(other.container("echo up; sleep 6"),
                                                               lambda stream, data: up.set()))
    sleeper.start()
    assert up.wait(10)
    start = time.perf_counter()
    for _ in range(4):
        assert other.run("true").status == 0
    beside = time.perf_counter() - start
    sleeper.join()
    start = time.perf_counter()
    for _ in range(4):
        assert other.run("true").status == 0
    # Waiting for the group that both are in took up to a second for each step.
    assert beside < time.perf_counter() - start + 1.5


def test_unknown_runtime(tmp_path: Path) -> None:
    with pytest.raises(RuntimeNotFound, match="there is no program `no-such-runtime`"):
        open_sandbox(runtime="no-such-runtime", state_dir=str(tmp_path))


def test_crun_is_refused_where_it_would_refuse(tmp_path: Path) -> None:
    if not is_hybrid():
        pytest.skip("control groups are not in hybrid mode here")
    crun = tmp_path / "crun"
    crun.write_text("#!/bin/sh\n")
    crun.chmod(0o755)
    with pytest.raises(RuntimeUnsuitable, match="hybrid"):
        open_sandbox(runtime=str(crun), state_dir=str(tmp_path))


def test_config_says_what_was_asked() -> None:
    container = Container(root=Overlay(lowers=()), argv=("a", "b"), env=("A=1",), uid=5, gid=6, groups=(7,), cwd="/w",
                          memory=1 << 20, cpu_quota=50, pids_limit=9, network="none", mounts=(Tmpfs(target="/t"),))
    config = oci_config(container, binds_dir="/binds", cgroups_path="/p/n", rootless=False)
    assert config["process"]["user"] == {"uid": 5, "gid": 6, "additionalGids": [6, 7]}
    assert set(config["process"]["capabilities"]["bounding"]) == {f"CAP_{name}" for name in facts.DEFAULT_CAPABILITIES}
    assert {"type": "network"} in config["linux"]["namespaces"]
    assert config["mounts"][-1] == {"destination": "/t", "type": "bind", "source": "/binds/0", "options": ["rbind"]}
    resources = config["linux"]["resources"]
    limits = {key: value for key, value in resources.items() if key != "devices"}
    assert limits == {"memory": {"limit": 1 << 20}, "cpu": {"quota": 50}, "pids": {"limit": 9}}
    rootless = oci_config(container, binds_dir="/binds", cgroups_path="/p/n", rootless=True)
    assert "resources" not in rootless["linux"]
    assert {"/sys": "bind"}.items() <= {m["destination"]: m["type"] for m in rootless["mounts"]}.items()
