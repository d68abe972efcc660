"""Without overlayfs a step sees and leaves the same things."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from builder.sandbox.container import Container, File, Overlay, OverlayMount, Tmpfs
from builder.sandbox.nooverlay import run_copied
from tests.sandbox.conftest import Ran, Runner

pytestmark = pytest.mark.root


def _left(upper: Path) -> dict[str, tuple[Any, ...]]:
    """What an upper directory says, as a layer: type, mode, owner, content or target, opaqueness."""
    found: dict[str, tuple[Any, ...]] = {}
    for path in sorted(upper.rglob("*")):
        status = path.lstat()
        content: Any = status.st_rdev
        if stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(path)
        whiteout = stat.S_ISCHR(status.st_mode) and status.st_rdev == 0
        opaque = "trusted.overlay.opaque" in os.listxattr(path, follow_symlinks=False)
        mode = "whiteout" if whiteout else stat.filemode(status.st_mode)
        found[str(path.relative_to(upper))] = (mode, status.st_uid, status.st_gid, content, opaque)
    return found


def _copied(runner: Runner, container: Container) -> Ran:
    said = {1: bytearray(), 2: bytearray()}

    def run(plain: Container) -> Any:
        return runner.sandbox.run(plain, lambda stream, data: said[stream].extend(data))

    ended = run_copied(run, container, userxattr=False)
    upper, work = Path(container.root.upper), Path(container.root.work)
    assert [path.name for path in work.iterdir()] == []
    return Ran(ended, said[1].decode(), said[2].decode(), upper, work)


@pytest.mark.parametrize("script", [
    "true",
    "cat /d/a /d/sub/x; ls /gone /d; cat /link; stat -c '%a %u' /d/a /hard1",
    "echo new > /d/new; mkdir -p /n/m; ln -s x /n/l; mkfifo /n/p; mknod /n/c c 1 3; ln /n/p /n/q",
    "echo more >> /d/a; chmod 700 /d/b; chown 5:6 /d/sub; touch -d @5 /d/sub/x",
    "rm /d/a; rm -r /d/sub; rm /link",
    "rm -r /d && mkdir /d && echo x > /d/a",
    "rm -r /d && echo file > /d",
    "rm /f && mkdir /f && touch /f/in",
    "mv /f /d/f; mv /d/sub /moved; mv /d/a /d/z",
    "echo same > /d/a; echo one > /d/a",
    "rm /d/a && echo one > /d/a",
    "ln /f /d/f2; echo x >> /hard1",
    "cat /etc/hosts; echo s > /run/side; ls /run; mount -t tmpfs x /tmp; df /t/deep | tail -1 | cut -d' ' -f1",
    "exit 9",
])
def test_same_as_an_overlay(runner: Runner, script: str) -> None:
    lower = runner.layer({"d/a": "one", "d/b": "two", "d/sub/x": "x", "f": "f", "link": "-> /d/b", "gone/y": "y",
                          "hard1": "h"})
    os.link(lower / "hard1", lower / "hard2")
    upper = runner.layer({"d/b": "three"})
    os.mknod(upper / "gone", stat.S_IFCHR, 0)
    (lower / "d" / "a").chmod(0o640)
    os.chown(lower / "d", 12, 13)
    mounts = (File(target="/etc/hosts", content=b"h\n"), Tmpfs(target="/t/deep"),
              OverlayMount(target="/o", overlay=Overlay(lowers=(str(lower), str(upper))), subpath="d"))
    over = runner.run(script + "; cat /o/b", layers=(lower, upper), mounts=mounts)
    copied = _copied(runner, runner.container(script + "; cat /o/b", layers=(lower, upper), mounts=mounts))
    assert (copied.status, copied.out, copied.err) == (over.status, over.out, over.err)
    assert _left(copied.upper) == _left(over.upper)


PROGRAM = """
import json, os, sys
from builder.sandbox import open_sandbox
from builder.sandbox.container import Container, Overlay

rootfs, folder, script = sys.argv[1:]
for name in ("upper", "work"):
    os.mkdir(f"{folder}/{name}")
root = Overlay(lowers=(rootfs,), upper=f"{folder}/upper", work=f"{folder}/work")
container = Container(root=root, argv=("/bin/sh", "-c", script), env=("PATH=/bin",))
sandbox = open_sandbox(state_dir=f"{folder}/state")
said = []
try:
    status = sandbox.run(container, lambda stream, data: said.append(data.decode())).status
except Exception as error:
    status = error.code
sandbox.close()
print(json.dumps([status, "".join(said), sorted(os.listdir(f"{folder}/upper"))]))
"""


@pytest.mark.parametrize(("script", "status"), [
    ("echo hi > /new; mount | head -1 | cut -d' ' -f5", 0), ("rm /etc/passwd", "no-whiteouts"),
])
def test_taken_where_the_kernel_refuses(runner: Runner, script: str, status: int | str) -> None:
    """An overlay cannot have its upper directory on another overlay, as in a container without a volume."""
    folders = [str(runner.fresh(name)) for name in ("lower", "up", "work", "mounted")]
    setup = 'mount -t overlay -o "lowerdir=$0,upperdir=$1,workdir=$2" none "$3" && shift 3 && exec "$@"'
    program = [sys.executable, "-c", PROGRAM, str(runner.rootfs), folders[-1], script]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    ended = subprocess.run(["unshare", "-m", "sh", "-c", setup, *folders, *program], text=True, check=False,
                           capture_output=True, env=environment)
    assert ended.returncode == 0, ended.stderr
    found, said, written = json.loads(ended.stdout)
    assert found == status
    if status == 0:
        assert said != "" and written == ["dev", "new", "proc", "sys"]
