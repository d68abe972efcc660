"""Whole builds through the command, as people run it: real namespaces, a real base image, a state folder each."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

BUSYBOX = next((path for path in ("/bin/busybox", "/usr/bin/busybox") if os.path.exists(path)), "")
APPLETS = ("cat", "chmod", "chown", "cp", "dd", "echo", "env", "false", "grep", "head", "id", "ln", "ls", "mkdir", "mv",
           "pwd", "rm", "seq", "sh", "sleep", "stat", "sync", "test", "touch", "tr", "true", "wc")
PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n"


class Command:
    """`builder` with a state folder and a context folder of its own."""

    def __init__(self, folder: Path, base: Path) -> None:
        self.root = folder / "state"
        self.context = folder / "context"
        self.context.mkdir(parents=True)
        self.base = base

    def run(self, *args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Runs to the end; `FROM base` means the busybox image."""
        return subprocess.run(self.argv(*args), capture_output=True, text=True, errors="replace", timeout=120,
                              stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})})

    def argv(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "builder", "--root", str(self.root), *args]

    def build(self, dockerfile: str, *args: str, context: str = "") -> subprocess.CompletedProcess[str]:
        return self.run(*self.build_args(dockerfile, *args), context or str(self.context))

    def build_args(self, dockerfile: str, *args: str) -> list[str]:
        path = self.context.parent / "Dockerfile"
        path.write_text(dockerfile)
        progress = () if "-q" in args else ("--progress", "plain")
        return ["build", *progress, "--build-context", f"base=oci-layout://{self.base}", "-f", str(path), *args]

    def files(self, dockerfile: str, *args: str, context: str = "") -> Path:
        """A folder with the files of the result."""
        out = self.context.parent / "out"
        done = self.build(dockerfile, "--output", str(out), *args, context=context)
        assert done.returncode == 0, done.stderr
        return out


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """An OCI layout of an image with busybox, made by this builder."""
    assert BUSYBOX, "these tests need a static busybox (Debian: busybox-static)"
    folder = tmp_path_factory.mktemp("base")
    with tarfile.open(folder / "root.tar", "w") as tar:
        tar.add(BUSYBOX, "bin/busybox", filter=_owned_by_root)
        for applet in APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for name, mode in (("tmp", 0o1777), ("etc", 0o755), ("root", 0o700), ("home/app", 0o755)):
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, mode
            tar.addfile(directory)
        passwd = tarfile.TarInfo("etc/passwd")
        passwd.size = len(PASSWD)
        tar.addfile(passwd, io.BytesIO(PASSWD.encode()))
    (folder / "Dockerfile").write_text('FROM scratch\nADD root.tar /\nCMD ["sh"]\n')
    layout = folder / "layout"
    subprocess.run([sys.executable, "-m", "builder", "--root", str(folder / "state"), "build", "-q", "--output",
                    f"type=oci,tar=false,dest={layout}", str(folder)], check=True, capture_output=True)
    return layout


@pytest.fixture
def builder(tmp_path: Path, base: Path) -> Command:
    return Command(tmp_path, base)


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.mode = 0o755
    return member
