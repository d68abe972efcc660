"""OCI runtimes, runc above all, as Sandboxes: the same containers, run by a program that the machine has.

The spawner makes a bundle in a mount namespace of its own and starts the runtime in it, as process 1 of a PID namespace
of its own: so neither mounts nor processes outlive a killed build here either.
"""

from __future__ import annotations

import marshal
import os
import re
from collections.abc import Callable
from typing import BinaryIO

import msgspec

from builder.errors import SandboxError
from builder.sandbox.attachment import LOG_STREAM, Session, SetupFailed
from builder.sandbox.container import Container, Exit, Output
from builder.sandbox.launch import SpawnerProcess
from builder.sandbox.runtime import host
from builder.sandbox.runtime.bundle import NETWORK

_MISSING = re.compile(r'exec: ".*": (executable file not found in \$PATH|stat .*: (no such file|not a dir))')
_REFUSED = re.compile(r'exec: ".*": (permission denied|is a directory)')


class RuntimeNotFound(SandboxError):
    code = "runtime-not-found"

    def __init__(self, runtime: str) -> None:
        super().__init__(f"there is no program `{runtime}` on this machine",
                         hint="leave out `--runtime` to use the built-in one")


class RuntimeUnsuitable(SandboxError):
    """The runtime is known not to work here."""

    code = "runtime-unsuitable"

    def __init__(self, runtime: str) -> None:
        super().__init__(f"`{runtime}` refuses to work on this machine: its control groups are in hybrid mode",
                         hint="use `--runtime runc`, or leave out `--runtime`")


class OciSandbox:
    """A Sandbox (see `container`) that has `runtime`, a name on PATH or a path, run every step."""

    def __init__(self, runtime: str, state_dir: str, *, userxattr: bool) -> None:
        self._command = find_runtime(runtime)
        if os.path.basename(self._command) == "crun" and is_hybrid():
            raise RuntimeUnsuitable(runtime)
        self._rootless = host.in_user_namespace()
        self._single_id = host.groups_denied()
        self.note: Callable[[str], None] = lambda text: None
        self._spawner = SpawnerProcess(state_dir, userxattr=userxattr)

    def prepare(self) -> None:
        self._spawner.start()

    def run(self, container: Container, output: Output, stdin: BinaryIO | None = None) -> Exit:
        import json

        from builder.sandbox.spec import oci_config

        scratch_dir = f"{self._spawner.mount_dir}/scratch"
        name = f"builder-{os.urandom(8).hex()}"
        cgroups_path = os.path.normpath(f"/{container.cgroup_parent}/builder/{name}")
        config = oci_config(container, binds_dir=f"{scratch_dir}/binds", cgroups_path=cgroups_path,
                            rootless=self._rootless, single_id=self._single_id,
                            network_path=f"{scratch_dir}/{NETWORK}")
        document = msgspec.to_builtins(container, builtin_types=(bytes,))
        document["oci"] = {"command": self._command, "name": name, "cgroups_path": cgroups_path,
                           "config": json.dumps(config).encode()}
        log = bytearray()

        def deliver(stream: int, data: bytes) -> None:
            if stream == LOG_STREAM:
                log.extend(data)
            else:
                output(stream, data)

        with Session(container, deliver, stdin, with_log=True) as session:
            ended = self._spawner.run(marshal.dumps(document), session)
        return ended if ended.status == 0 else _interpret(ended, log.decode(errors="replace"))

    def close(self) -> None:
        self._spawner.close()


def find_runtime(runtime: str) -> str:
    """The absolute path of an OCI runtime; RuntimeNotFound when there is none."""
    import shutil

    path = shutil.which(runtime, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        raise RuntimeNotFound(runtime)
    return os.path.abspath(path)


def is_hybrid() -> bool:
    """Whether version 1 has controllers while version 2 is mounted beside it, which crun refuses."""
    return os.path.exists("/sys/fs/cgroup/unified/cgroup.procs")


def _interpret(ended: Exit, log: str) -> Exit:
    """Tells a failed step from a container that the runtime could not make, by the runtime's own log."""
    problem = _last_error(log)
    if problem is None:
        return ended
    if _MISSING.search(problem):
        return Exit(127)
    if _REFUSED.search(problem):
        return Exit(126)
    raise SetupFailed(problem)


def _last_error(log: str) -> str | None:
    import json

    for line in reversed(log.splitlines()):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("level") in ("error", "fatal"):
            return str(entry.get("msg", ""))
    return None
