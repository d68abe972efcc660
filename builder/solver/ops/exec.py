"""RUN: a process in the sandbox over the parent's layers; what it wrote is the new layer."""

from __future__ import annotations

import contextlib
import posixpath
from collections import deque
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from builder.cache.key import Parts, op_parts
from builder.errors import Cancelled, RunFailed
from builder.layer.view import MergedView
from builder.plan.vertices import Run
from builder.solver.networkmodes import HOST_GATEWAY, StepNetwork
from builder.solver.ops.executor import Log
from builder.solver.resources import Resources
from builder.solver.results import Result, Snapshot
from builder.store.layers import StagedLayer

if TYPE_CHECKING:
    from builder.sandbox.container import Container, Exit, Output
    from builder.solver.ops.execmounts import OpenedMounts, RunMounts

HOSTNAME = "buildkitsandbox"
DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NETWORK_RIGHTS = frozenset({"NET_ADMIN", "SYS_ADMIN", "ALL"})
_KEPT_OUTPUT = 64 << 10
_SHOWN_LINES = 20
_SHELLS = ("/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash", "/bin/sh", "/usr/bin/sh", "/bin/ash", "/busybox/sh")


class RunExecutor:
    """One RUN, and how to run something else in its place."""

    def __init__(self, op: Run, inputs: Sequence[Result], resources: Resources) -> None:
        self._op = op
        self._resources = resources
        root = inputs[0] if op.has_parent else Snapshot()
        assert isinstance(root, Snapshot)
        self._root = root
        self._inputs = inputs

    @cached_property
    def _mounts(self) -> RunMounts:
        from builder.solver.ops.execmounts import RunMounts

        return RunMounts(self._op.mounts, self._root, self._inputs, self._resources)

    def parts(self) -> Parts:
        digests = self._mounts.digests() if self._op.mounts else {}
        return {**op_parts(self._op), **digests, "parent": list(self._root.layers)}

    def lists(self) -> Parts:
        return self._mounts.lists()

    def fill(self, layer: StagedLayer, log: Log) -> None:
        from builder.solver.redaction import Redactor

        tail = _Tail()
        with contextlib.ExitStack() as stack:
            opened = self._mounts.open(stack)
            redactor = Redactor(opened.secrets)

            def output(stream: int, data: bytes) -> None:
                if shown := redactor.feed(stream, data):
                    tail.add(shown)
                    log(stream, shown)

            network = stack.enter_context(self._network())
            ended = self._resources.sandbox().run(self._container(layer, opened, network), output)
            for stream, shown in redactor.rest():
                tail.add(shown)
                log(stream, shown)
        self._check(ended, tail, network)
        self.settle(layer)

    def enter(self, layer: StagedLayer, command: tuple[str, ...], output: Output, stdin: BinaryIO | None = None, *,
              terminal: bool = False) -> Exit:
        """Runs another command where the step ran: its environment, user, directory and mounts, over what `layer` has.

        The mounts are opened anew, so what the step wrote to a tmpfs is gone. Raises as `fill` does, but not RunFailed.
        """
        layer.reopen()
        with contextlib.ExitStack() as stack:
            opened = self._mounts.open(stack, anew=True)
            container = self._container(layer, opened, stack.enter_context(self._network()))
            container = msgspec.structs.replace(container, argv=command, terminal=terminal)
            return self._resources.sandbox().run(container, output, stdin)

    def shell(self, layer: StagedLayer) -> str:
        """The best shell where the step ran, as a path in it; "" without one."""
        view = MergedView([*self._resources.layer_dirs(self._root.layers), layer.diff])
        return next((path for path in _SHELLS if view.resolve(path) is not None), "")

    def settle(self, layer: StagedLayer) -> None:
        """Takes away what is in the layer without being a change; once, when no container will use it any more."""
        from builder.layer.upper import prune_upper

        prune_upper(layer.diff, self._resources.view(self._root.layers))

    def close(self) -> None:
        pass

    def _network(self) -> contextlib.AbstractContextManager[StepNetwork]:
        op = self._op
        may_change = op.security == "insecure" or not _NETWORK_RIGHTS.isdisjoint(op.confinement.added)
        return self._resources.networks.lend(
            op.network, op.namespace, reaches_host=any(address == HOST_GATEWAY for _, address in op.extra_hosts),
            may_change=may_change)

    def _container(self, layer: StagedLayer, opened: OpenedMounts, network: StepNetwork) -> Container:
        from builder.layer.users import resolve_user
        from builder.sandbox.container import Container, File, Overlay, Rlimit
        from builder.solver.ops.etcfiles import etc_files

        op, resources = self._op, self._resources
        identity = resolve_user(op.user, resources.view(self._root.layers))
        env = {variable.split("=", 1)[0]: variable
               for variable in (*opened.default_env, *op.env, *op.proxy_env, *opened.env)}
        env.setdefault("PATH", DEFAULT_PATH)
        env.setdefault("HOME", f"HOME={identity.home}")
        hostname = op.hostname or HOSTNAME
        etc = etc_files(hostname, op.extra_hosts, dns=op.dns, hosts_file=op.hosts_file, private=network.private,
                        gateway=network.host_address)
        scripts = (File(target=posixpath.join("/dev/pipes", file.name), content=file.content.encode(), mode=file.mode)
                   for file in op.files)
        confinement, limits = op.confinement, msgspec.structs.asdict(op.limits)
        return Container(
            root=Overlay(lowers=tuple(resources.layer_dirs(self._root.layers)), upper=layer.diff, work=layer.work),
            argv=op.argv, env=tuple(env.values()), cwd=op.cwd,
            uid=identity.uid, gid=identity.gid, groups=identity.groups,
            mounts=(*etc, *opened.mounts, *scripts), network=network.value, hostname=hostname,
            privileged=op.security == "insecure", added_capabilities=confinement.added,
            dropped_capabilities=confinement.dropped, seccomp=confinement.seccomp,
            seccomp_profile=confinement.seccomp_profile, apparmor=confinement.apparmor,
            no_new_privileges=confinement.no_new_privileges, masked=confinement.masked,
            unmasked=confinement.unmasked, shm_size=op.shm_size or 64 << 20,
            rlimits=tuple(Rlimit(u.name, u.soft, u.hard) for u in op.ulimits), cgroup_parent=op.cgroup_parent, **limits)

    def _check(self, ended: Exit, tail: _Tail, network: StepNetwork) -> None:
        if self._resources.cancelled.is_set():
            raise Cancelled("the step was cancelled")
        if ended.status != 0:
            notes = [f"the step had no network: {network.missing}"] if network.missing else []
            if ended.oom_killed:
                notes.append(_out_of_memory(self._op.limits.memory))
            raise RunFailed(" ".join(self._op.argv), ended.status, output=tail.lines(), notes=tuple(notes))


def _out_of_memory(limit: int) -> str:
    if not limit:
        return "out of memory: the kernel killed a process of this step"
    return f"out of memory: the kernel killed a process of this step, whose limit is {limit / (1 << 20):.4g} MiB"


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
