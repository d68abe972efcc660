"""Containers on a static busybox: `runner` runs a script in one and hands back what it said and wrote."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import pytest

from builder.sandbox import open_sandbox
from builder.sandbox.container import Container, Exit, Overlay, Sandbox

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Ran(msgspec.Struct):
    """How a container ended, what it said, and what it left."""

    exit: Exit
    out: str
    err: str
    upper: Path
    work: Path

    @property
    def status(self) -> int:
        return self.exit.status

    def written(self) -> set[str]:
        """Paths in the upper directory, but for the three stubs that stay in an image, as they do with BuildKit."""
        found = {str(path.relative_to(self.upper)) for path in self.upper.rglob("*")}
        return found - {"proc", "sys", "dev"}


class Runner:
    def __init__(self, sandbox: Sandbox, rootfs: Path, folder: Path) -> None:
        self.sandbox = sandbox
        self.rootfs = rootfs
        self._folder = folder
        self._serial = 0

    def fresh(self, name: str) -> Path:
        self._serial += 1
        path = self._folder / f"{name}{self._serial}"
        path.mkdir()
        return path

    def layer(self, files: dict[str, str]) -> Path:
        """A layer directory: text by path, `dir/` for a directory, `-> target` for a link."""
        top = self.fresh("layer")
        for name, text in files.items():
            path = top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith("/"):
                path.mkdir(exist_ok=True)
            elif text.startswith("-> "):
                path.symlink_to(text.removeprefix("-> "))
            else:
                path.write_text(text)
        return top

    def container(self, script: str, *, layers: tuple[Path, ...] = (), upper: Path | None = None,
                  **fields: Any) -> Container:
        root = Overlay(lowers=tuple(map(str, (self.rootfs, *layers))), upper=str(upper or self.fresh("upper")),
                       work=str(self.fresh("work")))
        given = {"root": root, "argv": ("/bin/sh", "-c", script), "env": (f"PATH={PATH}",), **fields}
        return Container(**given)

    def run(self, script: str, *, stdin: BinaryIO | None = None, **fields: Any) -> Ran:
        return self.start(self.container(script, **fields), stdin)

    def start(self, container: Container, stdin: BinaryIO | None = None) -> Ran:
        said = {1: bytearray(), 2: bytearray()}
        ended = self.sandbox.run(container, lambda stream, data: said[stream].extend(data), stdin)
        return Ran(ended, said[1].decode(), said[2].decode(), Path(container.root.upper), Path(container.root.work))


def make_rootfs(folder: Path) -> Path:
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("needs a static busybox (Debian: busybox-static)")
    (folder / "bin").mkdir()
    shutil.copy(busybox, folder / "bin" / "busybox")
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        if applet != "busybox":
            (folder / "bin" / applet).symlink_to("busybox")
    for name in ("etc", "root", "tmp"):
        (folder / name).mkdir()
    (folder / "tmp").chmod(0o1777)
    (folder / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    return folder


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rootfs")
    folder.chmod(0o755)
    return make_rootfs(folder)


@pytest.fixture(scope="session")
def builtin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    sandbox = open_sandbox(state_dir=str(tmp_path_factory.mktemp("sandbox")))
    yield sandbox
    sandbox.close()


@pytest.fixture
def runner(builtin: Sandbox, rootfs: Path, tmp_path: Path) -> Runner:
    return Runner(builtin, rootfs, tmp_path)


@pytest.fixture(params=["builtin", "runc"])
def anyone(request: pytest.FixtureRequest, runner: Runner,
           tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """A Runner for each runtime that is here."""
    if request.param == "builtin":
        yield runner
        return
    if shutil.which(request.param, path=f"{os.environ['PATH']}:/usr/sbin") is None:
        pytest.skip(f"needs {request.param}")
    folder = tmp_path_factory.mktemp(request.param)
    sandbox = open_sandbox(runtime=request.param, state_dir=str(folder / "state"))
    yield Runner(sandbox, runner.rootfs, folder)
    sandbox.close()
