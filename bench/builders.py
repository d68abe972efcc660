"""The builders that are compared: how each builds, pushes, and forgets what it has built."""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import tomllib
import uuid
import venv
from pathlib import Path
from typing import Protocol

from bench.workloads import Output

Command = list[str]
_QUIET = ["--progress", "plain"]


class Builder(Protocol):
    name: str
    daemons: tuple[str, ...]
    """Names of processes that work for it besides the commands and their descendants."""
    state: Path | None
    """Where it keeps everything, if that is known."""

    def build(self, context: Path, tag: str, output: Output, dest: Path) -> list[Command]:
        """The commands that build `context`, as image `tag` or into the archive `dest`."""
        ...

    def push(self, tag: str) -> list[Command]: ...
    def base(self, reference: str) -> list[Command]:
        """Commands that see to it that the base image is there."""
        ...

    def reset(self, tags: list[str]) -> list[Command]:
        """Commands that forget all that was built, the base image at most excepted."""
        ...

    def version(self) -> Command: ...


class This:
    """This project: the checkout that the benchmark belongs to, or another one in `source`."""

    daemons: tuple[str, ...] = ()

    def __init__(self, folder: Path, name: str = "builder", source: Path | None = None) -> None:
        self.name = name
        self._root = folder / "state" / name
        self.state: Path | None = self._root
        path = source or Path(__file__).resolve().parent.parent
        compileall.compile_dir(f"{path}/builder", quiet=2)  # as installing does
        start = "from builder.cli import main as m; raise SystemExit(getattr(m, 'run', m.main)())"
        self._command = ["env", f"PYTHONPATH={path}", _python(folder, path), "-c", start, "--root", str(self._root)]

    def build(self, context: Path, tag: str, output: Output, dest: Path) -> list[Command]:
        return [[*self._command, "build", *_QUIET, *_buildx_output(tag, output, dest), str(context)]]

    def push(self, tag: str) -> list[Command]:
        return [[*self._command, "push", tag]]

    def base(self, reference: str) -> list[Command]:
        return [[*self._command, "pull", reference]]

    def reset(self, tags: list[str]) -> list[Command]:
        if self._root.exists():
            away = self._root.with_name(f"{self.name}-{uuid.uuid4().hex}")
            self._root.rename(away)
            shutil.rmtree(away)
        return []

    def version(self) -> Command:
        return [*self._command, "--version"]


class Docker:
    """docker buildx with the engine's own BuildKit; its image store should be containerd's, as new installs have it."""

    name = "docker"
    daemons: tuple[str, ...] = ("dockerd", "containerd", "buildkitd", "containerd-shim")

    def __init__(self, command: Command, state: Path | None) -> None:
        self._command = command
        self.state = state

    def build(self, context: Path, tag: str, output: Output, dest: Path) -> list[Command]:
        return [[*self._command, "buildx", "build", *_QUIET, "--provenance=false", "--network", "host",
                 *_buildx_output(tag, output, dest), str(context)]]

    def push(self, tag: str) -> list[Command]:
        return [[*self._command, "push", "-q", tag]]

    def base(self, reference: str) -> list[Command]:
        return [[*self._command, "pull", "-q", reference]]

    def reset(self, tags: list[str]) -> list[Command]:
        remove = [[*self._command, "image", "rm", "-f", *tags]] if tags else []
        return [*remove, [*self._command, "buildx", "prune", "-af"], [*self._command, "image", "prune", "-f"]]

    def version(self) -> Command:
        return [*self._command, "version", "--format", "docker {{.Server.Version}}"]


class Buildah:
    name = "buildah"
    daemons: tuple[str, ...] = ()

    def __init__(self, command: Command, state: Path | None) -> None:
        self._command = command
        self.state = state

    def build(self, context: Path, tag: str, output: Output, dest: Path) -> list[Command]:
        built = [*self._command, "build", "--layers", "--network", "host", "-t", tag, str(context)]
        if output in (Output.STORE, Output.CACHE):
            return [built]
        if output is Output.PUSHED:
            return [built, *self.push(tag)]
        return [built, [*self._command, "push", "-q", "--compression-format", output.value, tag,
                        f"oci-archive:{dest}"]]

    def push(self, tag: str) -> list[Command]:
        return [[*self._command, "push", "-q", "--tls-verify=false", tag]]

    def base(self, reference: str) -> list[Command]:
        return [[*self._command, "pull", "-q", "--tls-verify=false", reference]]

    def reset(self, tags: list[str]) -> list[Command]:
        return [[*self._command, "rmi", "-a", "-f"]]

    def version(self) -> Command:
        return [*self._command, "--version"]


def _python(folder: Path, source: Path) -> str:
    """An interpreter with what builder depends on and nothing else, as users have it: finders of editable installs and
    what development brings along would be imported at every start."""
    needed = tomllib.loads((source / "pyproject.toml").read_text())["project"]["dependencies"]
    python = folder / "venv" / "bin" / "python"
    if not python.exists():
        venv.create(folder / "venv", with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *needed], check=True)
    return str(python)


def _buildx_output(tag: str, output: Output, dest: Path) -> list[str]:
    if output is Output.STORE:
        return ["-t", tag]
    if output is Output.CACHE:
        return ["--output", "type=cacheonly"]
    if output is Output.PUSHED:
        return ["-t", tag, "--push"]
    return ["--output", f"type=oci,dest={dest},compression={output.value}"]


def folder_from_environment() -> Path:
    """Where contexts, archives and builder's state go: $BENCH_DIR, a folder of a journaled file system."""
    return Path(os.environ.get("BENCH_DIR", "/tmp/bench"))
