"""RUN: a process in the sandbox over the parent's layers; what it wrote is the new layer."""

from __future__ import annotations

import contextlib
import os
import posixpath
from collections import deque
from collections.abc import Sequence
from typing import BinaryIO

import msgspec

from builder.cache.key import Parts, op_parts
from builder.engine.ops.mounts import RunMounts
from builder.engine.ops.work import Log
from builder.engine.resources import Resources
from builder.engine.results import Result, Snapshot
from builder.errors import Cancelled, RunFailed
from builder.layer.upper import prune_upper
from builder.layer.users import resolve_user
from builder.plan.vertices import Network, Run
from builder.sandbox.container import Container, ContainerMount, Exit, File, Output, Overlay, Rlimit
from builder.store.layers import StagedLayer

HOSTNAME = "buildkitsandbox"
DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KEPT_OUTPUT = 64 << 10
_SHOWN_LINES = 20


class RunWork:
    kind = "run"

    def __init__(self, op: Run, inputs: Sequence[Result], resources: Resources) -> None:
        self._op = op
        self._resources = resources
        root = inputs[0] if op.has_parent else Snapshot()
        assert isinstance(root, Snapshot)
        self._layers = root.layers
        self._mounts = RunMounts(op.mounts, inputs, resources)

    def parts(self) -> Parts:
        return {**op_parts(self._op), **self._mounts.digests(), "parent": list(self._layers)}

    def lists(self) -> Parts:
        return {"args.list": list(self._op.arg_names), **self._mounts.lists()}

    def fill(self, layer: StagedLayer, log: Log) -> None:
        tail = _Tail()

        def output(stream: int, data: bytes) -> None:
            tail.add(data)
            log(stream, data)

        with contextlib.ExitStack() as stack:
            mounts, secret_env = self._mounts.open(stack)
            container = self._container(layer, mounts, secret_env)
            ended = self._resources.sandbox().run(container, output)
        self._check(ended, tail)
        self.settle(layer)

    def enter(self, layer: StagedLayer, command: tuple[str, ...], output: Output, stdin: BinaryIO | None = None, *,
              terminal: bool = False) -> Exit:
        """Runs another command where the step ran: its environment, user, directory and mounts, over what `layer` has.

        The mounts are opened anew, so what the step wrote to a tmpfs is gone. Raises as `fill` does, but not RunFailed.
        """
        layer.reopen()
        with contextlib.ExitStack() as stack:
            mounts, secret_env = self._mounts.open(stack)
            container = self._container(layer, mounts, secret_env)
            container = msgspec.structs.replace(container, argv=command, terminal=terminal)
            return self._resources.sandbox().run(container, output, stdin)

    def settle(self, layer: StagedLayer) -> None:
        """Takes away what is in the layer without being a change; once, when no container will use it any more."""
        prune_upper(layer.diff, self._resources.view(self._layers))

    def close(self) -> None:
        pass

    def _container(self, layer: StagedLayer, mounts: Sequence[ContainerMount], secret_env: Sequence[str]) -> Container:
        op, view = self._op, self._resources.view(self._layers)
        identity = resolve_user(op.user, view)
        env = [*op.env, *op.proxy_env, *secret_env]
        names = {variable.split("=", 1)[0] for variable in env}
        if "PATH" not in names:
            env.append(DEFAULT_PATH)
        if "HOME" not in names:
            env.append(f"HOME={identity.home}")
        limits = dict(op.resources)
        hostname = op.hostname or HOSTNAME
        return Container(
            root=Overlay(lowers=tuple(self._resources.layer_dirs(self._layers)), upper=layer.diff, work=layer.work),
            argv=op.argv, env=tuple(env), cwd=op.cwd, uid=identity.uid, gid=identity.gid, groups=identity.groups,
            mounts=(*network_files(hostname, op.extra_hosts), *mounts,
                    *(File(target=posixpath.join("/dev/pipes", f.name), content=f.content.encode(), mode=f.mode)
                      for f in op.files)),
            network="none" if op.network is Network.NONE else "host", hostname=hostname,
            privileged=op.security == "insecure", shm_size=op.shm_size or 64 << 20,
            rlimits=tuple(Rlimit(u.name, u.soft, u.hard) for u in op.ulimits), cgroup_parent=op.cgroup_parent,
            memory=int(limits.get("memory", 0)), memory_swap=int(limits.get("memory-swap", 0)),
            cpu_shares=int(limits.get("cpu-shares", 0)), cpu_period=int(limits.get("cpu-period", 0)),
            cpu_quota=int(limits.get("cpu-quota", 0)), cpuset_cpus=limits.get("cpuset-cpus", ""),
            cpuset_mems=limits.get("cpuset-mems", ""))

    def _check(self, ended: Exit, tail: _Tail) -> None:
        if self._resources.cancelled.is_set():
            raise Cancelled("the step was cancelled")
        if ended.status != 0:
            notes = ("the kernel ended it because memory ran out",) if ended.oom_killed else ()
            raise RunFailed(" ".join(self._op.argv), ended.status, output=tail.lines(), notes=notes)


class _Tail:
    """The end of a step's output, for the error message."""

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._size = 0

    def add(self, data: bytes) -> None:
        self._chunks.append(data)
        self._size += len(data)
        while self._size - len(self._chunks[0]) > _KEPT_OUTPUT:
            self._size -= len(self._chunks.popleft())

    def lines(self) -> tuple[str, ...]:
        text = b"".join(self._chunks).decode("utf-8", "replace")
        return tuple(text.splitlines()[-_SHOWN_LINES:])


def network_files(hostname: str, extra_hosts: Sequence[tuple[str, str]]) -> list[ContainerMount]:
    """/etc/hosts and /etc/resolv.conf as a step sees them: the image's own are hidden and stay unchanged."""
    hosts = f"127.0.0.1\tlocalhost {hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n"
    hosts += "".join(f"{address}\t{name}\n" for name, address in extra_hosts)
    return [
        File(target="/etc/resolv.conf", content=_resolv_conf(), mode=0o644),
        File(target="/etc/hosts", content=hosts.encode(), mode=0o644),
    ]


def _resolv_conf() -> bytes:
    for path in ("/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"):
        if os.path.exists(path):
            with open(path, "rb") as file:
                return file.read()
    return b"nameserver 8.8.8.8\nnameserver 8.8.4.4\n"
