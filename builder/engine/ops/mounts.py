"""RUN's mounts: what of them is keyed, and what the sandbox is given for them."""

from __future__ import annotations

import contextlib
import os
import posixpath
from collections.abc import Sequence

from builder.cache.key import LIST, Parts
from builder.engine.resources import Resources
from builder.engine.results import LocalFiles, Result, Snapshot
from builder.errors import ContextError, SandboxError
from builder.layer.copying import CopyPlan, plan_copy
from builder.plan.vertices import (
    BindMount,
    CacheMount,
    Copy,
    CopySource,
    Mount,
    SecretMount,
    SshMount,
    TmpfsMount,
)
from builder.sandbox.container import Bind, ContainerMount, File, Overlay, OverlayMount, Socket, Tmpfs
from builder.store.mounts import MountSharing


class SecretMissing(ContextError):
    code = "secret-missing"

    def __init__(self, identity: str) -> None:
        super().__init__(f"secret {identity}: not found", hint=f"pass `--secret id={identity},src=FILE`")


class SshMissing(ContextError):
    code = "ssh-missing"

    def __init__(self, identity: str) -> None:
        super().__init__(f"unset ssh forward key {identity}", hint=f"pass `--ssh {identity}` with an agent running")


class RunMounts:
    """The mounts of one RUN."""

    def __init__(self, mounts: Sequence[Mount], inputs: Sequence[Result], resources: Resources) -> None:
        self._mounts = mounts
        self._inputs = inputs
        self._resources = resources

    def digests(self) -> Parts:
        """What each bind mount, and the `from` of each cache mount, selects."""
        return {f"mount:{mount.target}": self._content(mount) for mount in self._taking()}

    def lists(self) -> Parts:
        """The files behind the digests."""
        return {f"mount:{mount.target}{LIST}": plan.manifest(self._resources.fingerprints)
                for mount in self._taking() if (plan := self._selected(mount)) is not None}

    def _taking(self) -> list[BindMount | CacheMount]:
        return [mount for mount in self._mounts
                if isinstance(mount, BindMount) or (isinstance(mount, CacheMount) and mount.input is not None)]

    def _content(self, mount: BindMount | CacheMount) -> str:
        selected = self._selected(mount)
        if selected is None:
            source = self._inputs[mount.input or 0]
            assert isinstance(source, Snapshot)
            return " ".join(source.layers)
        return str(selected.key_parts(self._resources.fingerprints)["files"])

    def _selected(self, mount: BindMount | CacheMount) -> CopyPlan | None:
        """The files of a mount; None for a whole snapshot, which its layers identify."""
        assert mount.input is not None
        source = self._inputs[mount.input]
        if isinstance(source, Snapshot) and mount.source == "/":
            return None
        return plan_copy(selection_of(mount), [self._resources.tree(source)], None)

    def open(self, stack: contextlib.ExitStack) -> tuple[list[ContainerMount], list[str]]:
        """The sandbox' mounts and the variables that secrets bring; `stack` gives them back after the run.

        Raises SecretMissing, SshMissing, ContextError.
        """
        mounts: list[ContainerMount] = []
        env: list[str] = []
        for number, mount in enumerate(self._mounts):
            match mount:
                case BindMount():
                    mounts.append(self._bind(mount, stack))
                case CacheMount():
                    mounts.append(self._cache(mount, stack))
                case TmpfsMount():
                    mounts.append(Tmpfs(target=mount.target, size=mount.size))
                case SecretMount():
                    self._secret(mount, mounts, env)
                case SshMount():
                    self._ssh(mount, number, mounts, env)
        return mounts, env

    def _bind(self, mount: BindMount, stack: contextlib.ExitStack) -> ContainerMount:
        source = self._inputs[mount.input]
        store = self._resources.store
        if isinstance(source, LocalFiles):
            # copied, so that the ignore rules hold and files belong to root; thrown away after the run
            taken = stack.enter_context(store.stage_layer()).diff
            plan_copy(selection_of(mount), [source.tree], None).write(taken)
            lowers: tuple[str, ...] = (taken,)
            subpath = "/m"
        else:
            lowers, subpath = tuple(self._resources.layer_dirs(source.layers)), mount.source
            if subpath != "/" and self._resources.view(source.layers).resolve(subpath) is None:
                raise ContextError(f"`{subpath}` to be mounted at `{mount.target}` was not found")
        overlay = Overlay(lowers=lowers)
        if not mount.readonly:
            writes = stack.enter_context(store.stage_layer())
            overlay = Overlay(lowers=lowers, upper=writes.diff, work=writes.work)
        return OverlayMount(target=mount.target, overlay=overlay, subpath=subpath, readonly=mount.readonly)

    def _cache(self, mount: CacheMount, stack: contextlib.ExitStack) -> ContainerMount:
        """The cache's directory; a new one gets the content of `from`, owner and mode before anybody sees it."""
        resources = self._resources
        source = None if mount.input is None else self._inputs[mount.input]
        identity = mount.id
        if isinstance(source, Snapshot):
            identity += f"@{','.join(source.layers)}{mount.source}"

        def fill(path: str) -> None:
            if source is not None:
                take = CopySource(input=0, paths=(mount.source,))
                plan_copy(Copy(sources=(take,), destination="/", has_parent=False), [resources.tree(source)],
                          None).write(path)
            os.chown(path, mount.uid, mount.gid)
            os.chmod(path, mount.mode)

        opened = stack.enter_context(resources.store.cache_mount(
            identity, sharing=MountSharing(mount.sharing.value), fill=fill, cancelled=resources.cancelled))
        return Bind(target=mount.target, source=opened.path, readonly=mount.readonly)

    def _secret(self, mount: SecretMount, mounts: list[ContainerMount], env: list[str]) -> None:
        value = self._resources.secret(mount.id)
        if value is None:
            if mount.required:
                raise SecretMissing(mount.id)
            return
        if mount.env:
            env.append(f"{mount.env}={value.decode('utf-8', 'surrogateescape')}")
        if mount.target:
            mounts.append(File(target=mount.target, content=value, mode=mount.mode, uid=mount.uid, gid=mount.gid))

    def _ssh(self, mount: SshMount, number: int, mounts: list[ContainerMount], env: list[str]) -> None:
        socket = self._resources.ssh_socket(mount.id)
        if socket is None:
            if mount.required:
                raise SshMissing(mount.id)
            return
        if not os.path.exists(socket):
            raise SandboxError(f"the ssh agent's socket `{socket}` is gone")
        target = mount.target or f"/run/buildkit/ssh_agent.{number}"
        mounts.append(Socket(target=target, source=socket, mode=mount.mode, uid=mount.uid, gid=mount.gid))
        if not any(variable.startswith("SSH_AUTH_SOCK=") for variable in env):
            env.append(f"SSH_AUTH_SOCK={target}")


def selection_of(mount: BindMount | CacheMount) -> Copy:
    """What a bind mount takes, said as a copy to `/m`: a directory's contents, or one file."""
    source = CopySource(input=0, paths=(posixpath.normpath(mount.source),), literal=True)
    return Copy(sources=(source,), destination="/m", has_parent=False)
