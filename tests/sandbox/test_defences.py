"""The probe program in a step: what it finds is what testdata/sandbox/probe.txt records, and what BuildKit shows.

`probe.sh` and `probe.c` print one fact a line. docs/security.md has the table of the differences from BuildKit.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox.conftest import Runner

pytestmark = pytest.mark.root

DOCKER = os.environ.get("BUILDER_PEERS", "")
HERE = Path(__file__).parent
RECORDED = HERE.parent.parent / "testdata/sandbox/probe.txt"
SAME_EVERYWHERE = ("status ", "call ", "device ", "writable ", "open ", "pid", "session", "abstract sockets")
"""What does not depend on the machine: kernels and distributions differ in paths, limits and sysctls."""

DIFFERENCES = {
    r"namespace cgroup: .*": "BuildKit makes one with control groups of version 2 only",
    r"cgroup: .*": "as above: the path of the group in the machine's tree is out of sight",
    r"mount /sys/fs/cgroup/.*": "as above: the root of what is mounted",
    r"pid: .*": "how many processes the shell has started: BuildKit's runtime takes numbers first",
    r"exe of 2: .*": "the same",
    r"mount /etc/(hosts|resolv.conf): .*": "BuildKit keeps these files on disk, builder in memory",
    r"mount (/proc/\w+|/sys/firmware): ro,relatime; tmpfs .*": "the same empty directory, read-only by its mount",
    r"mount /sys: .*": "the same, read-only; the mount says so, not the file system",
    r"device c 10:200: .*": "runc lets steps open /dev/net/tun, which only who administers networks can use",
    r"call socket alg: .*": "the profile is newer than that of Docker 28: AF_ALG is refused",
    r"sysctl kernel/pid_max: .*": "a limit of tasks where there is no control group for it",
}
"""Facts that may differ from BuildKit's, with the reason."""


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layer with both programs."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    folder = tmp_path_factory.mktemp("probe")
    shutil.copy(HERE / "probe.sh", folder)
    subprocess.run(["gcc", "-static", "-O1", "-w", "-o", folder / "probe", HERE / "probe.c"], check=True)
    return folder


def test_a_step_is_confined_as_recorded(runner: Runner, probe: Path) -> None:
    ran = runner.run("exec sh /probe.sh < /dev/null 2>&1", layers=(probe,), network="none")
    said = [line for line in ran.out.splitlines() if line.startswith(SAME_EVERYWHERE) and "filters" not in line]
    # Whether there is a file depends on the machine; that no step may write to it does not.
    recorded = [line for line in RECORDED.read_text().splitlines() if not line.endswith(": missing")]
    assert [line for line in said if line not in recorded and not line.endswith(": missing")] == []
    assert len(said) == len(RECORDED.read_text().splitlines())


def test_nothing_but_time_and_users_is_shared_with_the_machine(runner: Runner, probe: Path) -> None:
    ran = runner.run("sh /probe.sh < /dev/null 2>&1", layers=(probe,), network="none")
    seen = dict(re.findall(r"^namespace (\w+): (.*)$", ran.out, re.MULTILINE))
    shared = {name for name, identity in seen.items() if os.readlink(f"/proc/self/ns/{name}") == identity}
    assert len(seen) == 8 and shared == {"time", "user"}


@pytest.fixture(scope="module")
def context(probe: Path) -> Iterator[Path]:
    """A build whose result is what the probe says in a RUN; below /tmp, which Docker sees under the same name."""
    busybox = shutil.which("busybox")
    assert busybox
    with tempfile.TemporaryDirectory(prefix="builder-probe-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for path in (*probe.iterdir(), Path(busybox)):
            shutil.copy(path, folder)
        (folder / "Dockerfile").write_text(
            'FROM scratch AS probe\nCOPY busybox /bin/busybox\nCOPY busybox /bin/sh\nCOPY probe.sh probe /\n'
            'RUN ["/bin/busybox", "--install", "/bin"]\nRUN ["mkdir", "-p", "/tmp", "/out"]\n'
            "RUN sh /probe.sh > /out/said 2>&1 < /dev/null\nFROM scratch\nCOPY --from=probe /out /\n")
        yield folder


@pytest.mark.peers
@pytest.mark.skipif(not DOCKER, reason="BUILDER_PEERS names no docker to compare with")
def test_every_difference_from_buildkit_has_its_reason(context: Path) -> None:
    said = {}
    environment = {**os.environ, "BUILDER_ROOT": str(context / "root"), "PYTHONPATH": os.pathsep.join(sys.path)}
    for name, command in (("buildkit", (DOCKER, "buildx")), ("builder", (sys.executable, "-m", "builder"))):
        flags = ("-q", "--no-cache", "--network", "none", "-o", f"type=local,dest={name}")
        subprocess.run([*command, "build", *flags, "."], check=True, cwd=context, env=environment)
        text = (context / name / "said").read_text()
        said[name] = [re.sub(r"(namespace \w+: \w+):\[\d+\]", r"\1", line) if "cgroup" not in line else line
                      for line in text.splitlines()]
    differing = set(said["buildkit"]) ^ set(said["builder"])
    assert [line for line in differing if not any(re.fullmatch(known, line) for known in DIFFERENCES)] == []
    assert len(said["buildkit"]) == len(said["builder"]) > 200
