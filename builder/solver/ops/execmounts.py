"""RUN's mounts: what of them is keyed, and what the sandbox is given for them."""

from __future__ import annotations

import contextlib
import os
import posixpath
from collections.abc import Sequence
from typing import assert_never

import msgspec

from builder.cache.key import LIST, Parts
from builder.errors import ContextError, SandboxError
from builder.layer.copylayer import CopyPlan, plan_copy
from builder.layer.resolution import follow
from builder.plan.vertices import (
    BindMount,
    CacheMount,
    HostMount,
    Mount,
    SecretMount,
    Sharing,
    SshMount,
    TmpfsMount,
)
from builder.sandbox.container import Bind, ContainerMount, File, Overlay, OverlayMount, Socket, Tmpfs
from builder.solver.lineage import selection_of
from builder.solver.resources import Resources
from builder.solver.results import LocalFiles, Result, Snapshot
from builder.store.cachemounts import CacheId

_MADE = "/cache"
"""The directory of `from` that a cache mount with a mode or an owner stands for: made where it is absent."""
_SELECTED = "/m"
"""Where `selection_of` puts what a mount selects."""
_STRICTNESS = (Sharing.SHARED, Sharing.PRIVATE, Sharing.LOCKED)


class SecretMissing(ContextError):
    code = "secret-missing"

    def __init__(self, identity: str) -> None:
        super().__init__(f"secret {identity}: not found", hint=f"pass `--secret id={identity},src=FILE`")


class SshMissing(ContextError):
    code = "ssh-missing"

    def __init__(self, identity: str) -> None:
        super().__init__(f"unset ssh forward key {identity}", hint=f"pass `--ssh {identity}` with an agent running")


class OpenedMounts(msgspec.Struct, frozen=True):
    """What the mounts of one RUN give to its container."""

    mounts: list[ContainerMount]
    env: list[str]
    """Variables that secrets bring."""
    default_env: list[str]
    """Variables that the image's own ones hide: SSH_AUTH_SOCK."""
    secrets: list[bytes]
    """Values that output must not show."""


class RunMounts:
    """The mounts of one RUN."""

    def __init__(self, mounts: Sequence[Mount], root: Snapshot, inputs: Sequence[Result], resources: Resources) -> None:
        """`root` is what the step starts from."""
        self._mounts = mounts
        self._root = root
        self._inputs = inputs
        self._resources = resources
        self._selections: dict[Mount, CopyPlan] = {}
        """What was keyed is what is mounted."""

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
        if mount not in self._selections:
            self._selections[mount] = plan_copy(selection_of(mount), [self._resources.tree(source)], None)
        return self._selections[mount]

    def open(self, stack: contextlib.ExitStack, *, anew: bool = False) -> OpenedMounts:
        """What the sandbox is given; `stack` takes it back after the run. `anew`: local files as they are now.

        Raises SecretMissing, SshMissing, ContextError, and SourceChanged for a local file that is not as it was keyed.
        """
        if anew:
            self._selections.clear()
        opened = OpenedMounts([], [], [], [])
        caches = self._open_caches(stack)
        agents = 0
        for mount in self._mounts:
            match mount:
                case BindMount():
                    opened.mounts.append(self._bind(mount, stack))
                case CacheMount():
                    directory, subpath = caches[self._cache_id(mount)]
                    opened.mounts.append(Bind(target=mount.target, source=directory, subpath=subpath,
                                              readonly=mount.readonly))
                case TmpfsMount():
                    opened.mounts.append(Tmpfs(target=mount.target, size=mount.size))
                case SecretMount():
                    self._secret(mount, opened)
                case SshMount():
                    self._ssh(mount, mount.target or f"/run/buildkit/ssh_agent.{agents}", opened)
                    agents += 1
                case HostMount():
                    opened.mounts.append(Bind(target=mount.target, source=mount.source, readonly=mount.readonly,
                                              recursive=True))
                case _:
                    assert_never(mount)
        opened.mounts.sort(key=lambda mount: mount.target)  # as BuildKit does: what is outside, first
        return opened

    def _bind(self, mount: BindMount, stack: contextlib.ExitStack) -> ContainerMount:
        source = self._inputs[mount.input]
        store = self._resources.store
        if isinstance(source, LocalFiles):
            # copied, so that the ignore rules hold and files belong to root; thrown away after the run
            taken = stack.enter_context(store.stage_layer()).diff
            selected = self._selected(mount)
            assert selected is not None, "only snapshots are taken whole"
            selected.write(taken)
            lowers: tuple[str, ...] = (taken,)
            subpath = _SELECTED
        else:
            lowers, subpath = tuple(self._resources.layer_dirs(source.layers)), mount.source
            if subpath != "/" and self._resources.view(source.layers).resolve(subpath) is None:
                raise ContextError(f"`{subpath}` to be mounted at `{mount.target}` was not found")
        overlay = Overlay(lowers=lowers)
        if not mount.readonly:
            writes = stack.enter_context(store.stage_layer())
            overlay = Overlay(lowers=lowers, upper=writes.diff, work=writes.work)
        return OverlayMount(target=mount.target, overlay=overlay, subpath=subpath, readonly=mount.readonly)

    def _open_caches(self, stack: contextlib.ExitStack) -> dict[CacheId, tuple[str, str]]:
        """The directories of the cache mounts, and what of them is mounted.

        One that is mounted twice is taken once, with the strictest sharing: a locked one would wait for itself. All
        steps take theirs in the same order, so that no two wait for each other.
        """
        wanted: dict[CacheId, CacheMount] = {}
        for mount in self._mounts:
            if isinstance(mount, CacheMount):
                identity = self._cache_id(mount)
                first = wanted.setdefault(identity, mount)
                if _STRICTNESS.index(mount.sharing) > _STRICTNESS.index(first.sharing):
                    wanted[identity] = msgspec.structs.replace(first, sharing=mount.sharing)
        return {identity: self._open_cache(identity, mount, stack) for identity, mount in sorted(wanted.items())}

    def _cache_id(self, mount: CacheMount) -> CacheId:
        """Another beginning makes another cache, as in BuildKit."""
        match None if mount.input is None else self._inputs[mount.input]:
            case Snapshot(layers=layers):
                origin: tuple[str, ...] = (mount.source, *layers)
            case LocalFiles(tree=tree):
                top = tree.lstat("")
                origin = (mount.source, "" if top is None else f"/{top.root.path}")
            case None:
                origin = ()
        made = ":".join(f"{part:o}" for part in _made_with(mount)) if _is_made(mount) else ""
        return CacheId(mount.id, origin, made)

    def _open_cache(self, identity: CacheId, mount: CacheMount, stack: contextlib.ExitStack) -> tuple[str, str]:
        """The cache's directory, and the path in it of what is mounted; a new one gets what `from` has, or owner and
        mode, before it is seen.
        """
        resources = self._resources
        mount = msgspec.structs.replace(mount, source=_MADE) if _is_made(mount) else mount
        tree = None if mount.input is None else resources.tree(self._inputs[mount.input])
        begins = tree is not None and follow(tree, mount.source) is not None
        if not begins and mount.source not in ("/", _MADE):
            raise ContextError(f"`{mount.source}` to be mounted at `{mount.target}` was not found",
                               hint="source= of a cache mount is a path inside what from= names")

        def fill(path: str) -> None:
            if tree is not None and begins:
                plan_copy(selection_of(mount), [tree], None).write(path)
                return
            uid, gid, mode = _made_with(mount) if identity.made else (*self._owner(mount.target), 0o755)
            os.chown(path, uid, gid)
            os.chmod(path, mode)

        opened = stack.enter_context(resources.store.cache_mount(
            identity, sharing=mount.sharing, fill=fill, cancelled=resources.cancelled))
        return opened.path, _SELECTED if begins else "/"

    def _owner(self, target: str) -> tuple[int, int]:
        """Who owns the directory at `target` in the image, or else its closest parent there."""
        entry, view = None, self._resources.view(self._root.layers)
        while entry is None and target != "/":
            entry = view.resolve(target)
            target = posixpath.dirname(target)
        return (entry.stat.st_uid, entry.stat.st_gid) if entry is not None else (0, 0)

    def _secret(self, mount: SecretMount, opened: OpenedMounts) -> None:
        value = self._resources.secret(mount.id)
        if value is None:
            if mount.required:
                raise SecretMissing(mount.id)
            if mount.env:
                opened.env.append(f"{mount.env}=")
            return
        opened.secrets.append(value)
        if mount.env:
            opened.env.append(f"{mount.env}={value.decode('utf-8', 'surrogateescape')}")
        if mount.target:
            opened.mounts.append(
                File(target=mount.target, content=value, mode=mount.mode, uid=mount.uid, gid=mount.gid))

    def _ssh(self, mount: SshMount, target: str, opened: OpenedMounts) -> None:
        """The variable is there without the agent too, as BuildKit has it."""
        if not opened.default_env:
            opened.default_env.append(f"SSH_AUTH_SOCK={target}")
        socket = self._resources.ssh_socket(mount.id)
        if socket is None:
            if mount.required:
                raise SshMissing(mount.id)
            return
        if not os.path.exists(socket):
            raise SandboxError(f"the ssh agent's socket `{socket}` is gone")
        opened.mounts.append(Socket(target=target, source=socket, mode=mount.mode, uid=mount.uid, gid=mount.gid))


def _is_made(mount: CacheMount) -> bool:
    """Whether mode and owner count: only where no source= says what is mounted."""
    return mount.source == "/" and (mount.mode, mount.uid, mount.gid) != (None, None, None)


def _made_with(mount: CacheMount) -> tuple[int, int, int]:
    """Owner, group and mode; BuildKit drops the sticky bit and its like."""
    return mount.uid or 0, mount.gid or 0, 0o755 if mount.mode is None else mount.mode & 0o777
