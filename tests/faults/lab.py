"""Where a check works: a folder, a state root, base images, and the command under a time-out and a memory limit."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import platform
import resource
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .bases import Image, busybox_layer, write_layout

MEMORY = 4 << 30
"""Address space of a command: a text bomb ends here rather than in the machine's memory."""
PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None)
OUTPUT = 1 << 20
"""How much of a command's output is looked at."""


class StillRunning(Exception):
    """A command was ended after its time; the text says which."""


class Done(NamedTuple):
    code: int
    out: str
    err: str
    seconds: float

    @property
    def last(self) -> str:
        """The line of standard error that says most: of an error if there is one, else the last."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        return next((line for line in reversed(lines) if line.lower().startswith("error")), lines[-1] if lines else "")

    @property
    def said(self) -> bool:
        """Failed in words: not by a signal, a traceback or as an internal error."""
        return self.code > 0 and bool(self.err.strip()) and not self.is_internal

    @property
    def is_internal(self) -> bool:
        return "Traceback (most recent" in self.err or "bug in builder" in self.err or "error[internal]" in self.err


class Tree:
    """The files of a result."""

    def __init__(self, data: bytes) -> None:
        self._tar = tarfile.open(fileobj=io.BytesIO(data))  # noqa: SIM115
        self.entries = {entry.name.removeprefix("./").strip("/"): entry for entry in self._tar}

    def __contains__(self, path: str) -> bool:
        return path.strip("/") in self.entries

    def __getitem__(self, path: str) -> tarfile.TarInfo:
        return self.entries[path.strip("/")]

    def text(self, path: str) -> str:
        file = self._tar.extractfile(self[path])
        assert file is not None, f"{path} is no file"
        return file.read().decode(errors="replace").strip()

    def shown(self, path: str) -> str:
        """`TYPE MODE UID:GID` of an entry, `absent` without one."""
        if path not in self:
            return "absent"
        entry = self[path]
        kinds = {tarfile.REGTYPE: "file", tarfile.DIRTYPE: "dir", tarfile.SYMTYPE: "link", tarfile.FIFOTYPE: "fifo",
                 tarfile.LNKTYPE: "file"}
        return f"{kinds.get(entry.type, '?')} {entry.mode & 0o7777:o} {entry.uid}:{entry.gid}"


class Lab:
    """`folder` is empty, and removed afterwards; `command` is the builder under test."""

    def __init__(self, folder: Path, command: Sequence[str]) -> None:
        self.dir = folder
        self.command = tuple(command)
        self.root = folder / "state"
        self.context = folder / "context"
        self.context.mkdir()
        self.seconds = 60.0
        self._stack = contextlib.ExitStack()
        self._images: dict[str, Path] = {}
        self._canary: Path | None = None

    def close(self) -> None:
        self._stack.close()
        # rm, not shutil.rmtree: it goes down however deep a tree is
        subprocess.run(["rm", "-rf", "--", str(self.dir)], check=False)

    def enter(self, manager: Any) -> Any:
        """Holds a context manager until the check is over."""
        return self._stack.enter_context(manager)

    def image(self, name: str, layers: Sequence[bytes], config: dict[str, Any] | None = None, *,
              busybox: bool = True, user: int = 1000) -> Path:
        """An image that every build of this lab knows as `FROM name`."""
        whole = [busybox_layer(user), *layers] if busybox else layers
        self._images[name] = write_layout(self.dir / f"image-{name}", Image(whole, config, arch=machine()))
        return self._images[name]

    def put(self, name: str, text: str | bytes = "", mode: int = 0o644) -> Path:
        """A file below the context."""
        path = self.context / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        path.chmod(mode)
        return path

    def canary(self) -> Path:
        """A folder that stands for the host: holds `secret` only. Owner, modes and times are odd."""
        if self._canary is None:
            self._canary = self.dir / "canary"
            self._canary.mkdir()
            (self._canary / "secret").write_text("HOST-SECRET\n")
            for path in (self._canary / "secret", self._canary):
                os.chown(path, 4321, 4321)
                path.chmod(0o750 if path.is_dir() else 0o640)
                os.utime(path, (1_234_567_890, 1_234_567_890))
        return self._canary

    def canary_changes(self) -> str:
        """What was done to the canary; empty when nothing was."""
        folder, changes = self.canary(), []
        names = sorted(os.listdir(folder))
        if names != ["secret"]:
            changes.append(f"holds {names}")
        for path, mode in ((folder, 0o750), (folder / "secret", 0o640)):
            if path.exists():
                now = path.stat()
                state = (now.st_mode & 0o7777, now.st_uid, now.st_gid, int(now.st_mtime))
                if state != (mode, 4321, 4321, 1_234_567_890):
                    changes.append(f"{path.name} has mode {state[0]:o}, owner {state[1]}:{state[2]}, time {state[3]}")
        if (folder / "secret").exists() and (folder / "secret").read_text() != "HOST-SECRET\n":
            changes.append("secret has another content")
        return "; ".join(changes)

    def run(self, *args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, stdin: bytes = b"",
            root: Path | None = None, user: int | None = None, seconds: float | None = None,
            wrap: Sequence[str] = (), memory: int = MEMORY) -> Done:
        """`builder --root ROOT args`; `wrap` stands before the command, as `unshare -m` does.

        Raises StillRunning, after ending all of it.
        """
        return self.call([*wrap, *self.command, "--root", str(root or self.root), *args], env=env, cwd=cwd, stdin=stdin,
                         user=user, seconds=seconds, memory=memory)

    def call(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None,
             stdin: bytes = b"", user: int | None = None, seconds: float | None = None, memory: int = MEMORY) -> Done:
        limit = seconds or self.seconds
        began = time.monotonic()
        files = [self._stack.enter_context((self.dir / f".{name}").open("w+b")) for name in ("in", "out", "err")]
        files[0].write(stdin)
        files[0].seek(0)
        process = subprocess.Popen(
            list(argv), stdin=files[0], stdout=files[1], stderr=files[2], cwd=cwd or self.dir, env=self.env(env),
            start_new_session=True, user=user, group=user, extra_groups=None if user is None else [],
            preexec_fn=lambda: _confine(memory))
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            words = " ".join(argv[len(self.command):])[:80]
            raise StillRunning(f"`{words}` was still running after {limit:g} s") from None
        out, err = (self._read(file) for file in files[1:])
        return Done(code, out, err, time.monotonic() - began)

    def env(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a command: nothing of the caller's that changes a build."""
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith(("BUILDER_", "BUILDKIT_", "BUILDX_", "DOCKER_", "SOURCE_DATE"))
                and "proxy" not in name.lower()}
        return {**kept, **(extra or {})}

    @staticmethod
    def _read(file: io.BufferedRandom) -> str:
        file.seek(0)
        return file.read(OUTPUT).decode(errors="replace")

    def build_args(self, dockerfile: str, *args: str) -> list[str]:
        """The words of a build of `dockerfile`, to be followed by the context."""
        path = self.dir / "Dockerfile"
        path.write_text(dockerfile)
        if "base" not in self._images and "FROM base" in dockerfile:
            self.image("base", [])
        named = [word for name, layout in self._images.items()
                 for word in ("--build-context", f"{name}=oci-layout://{layout}")]
        progress = [] if {"-q", "--progress"} & set(args) else ["--progress", "plain"]
        return ["build", *progress, *named, "-f", str(path), *args]

    def build(self, dockerfile: str, *args: str, context: str = "", **options: Any) -> Done:
        """A build with plain progress. `FROM base` is the busybox image; `options` are those of `run`."""
        return self.run(*self.build_args(dockerfile, *args), context or str(self.context), **options)

    def tree(self, dockerfile: str, *args: str, **options: Any) -> Tree:
        """The files of the result of a build that must succeed."""
        archive = self.dir / "tree.tar"
        archive.unlink(missing_ok=True)
        done = self.build(dockerfile, *args, "-o", f"type=tar,dest={archive}", **options)
        if done.code:
            raise AssertionError(f"the build failed: {done.last}")
        return Tree(archive.read_bytes())


def _confine(memory: int) -> None:
    """In the child: at most `memory` bytes, and no life beyond that of the runner, however that ends."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def machine() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def path_without(tool: str, folder: Path) -> str:
    """A PATH on which `tool` is not found: folders that hold it are replaced by links to all else in them."""
    kept = []
    for number, entry in enumerate(os.environ.get("PATH", os.defpath).split(":")):
        if os.path.exists(os.path.join(entry, tool)):
            farm = folder / f"path-{number}"
            farm.mkdir(exist_ok=True)
            for name in os.listdir(entry):
                if not name.startswith(tool) and not (farm / name).is_symlink():
                    (farm / name).symlink_to(os.path.join(entry, name))
            kept.append(str(farm))
        else:
            kept.append(entry)
    return ":".join(kept)


def find_tool(name: str) -> str | None:
    """A tool on PATH, or where this checkout's `test` unpacks tools."""
    here = Path(__file__).parent.parent.parent
    unpacked = [str(here / ".venv" / "tools" / "usr" / folder) for folder in ("bin", "sbin")]
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *unpacked]))


def as_user(lab: Lab, *argv: str) -> list[str]:
    """Words to put before a command that user nobody shall run, which may lie in root's home: it is shown to all.

    In a mount namespace of its own a tmpfs covers /root, and what lies there is bound back below it.
    """
    script = ('set -e; home=$1; shift; mkdir -p "$home"; mount --make-rprivate /; mount --bind /root "$home";'
              ' mount -t tmpfs -o mode=755 tmpfs /root;'
              ' for each in $(ls -A "$home"); do [ -d "$home/$each" ] || continue;'
              ' mkdir "/root/$each"; mount --bind "$home/$each" "/root/$each"; done;'
              ' exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"')
    home = lab.dir / "home-of-root"
    return ["unshare", "-m", "sh", "-c", script, "sh", str(home), "env", f"HOME={lab.dir}/nobody", *argv]
