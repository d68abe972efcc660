"""What a sandbox is asked to run, as values: `Sandbox.run(container, output)`.

A Container is complete: nothing is looked up in the image any more (user names are ids, PATH is searched by the
sandbox inside the root). The sandbox owns mounting: overlays exist only in its private mount namespace, so a killed
build leaves nothing mounted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, Protocol, TypeAlias

import msgspec


class Overlay(msgspec.Struct, frozen=True, kw_only=True):
    """A root or a mount made of layer directories."""

    lowers: tuple[str, ...]
    """Directories, bottom first; may be empty (then the root is `upper` alone, or an empty directory)."""
    upper: str = ""
    """Where writes go; "" makes it read-only."""
    work: str = ""
    """overlayfs' work directory: empty, on the same file system as `upper`. Without it a root is `upper` itself."""


class Bind(msgspec.Struct, frozen=True, kw_only=True, tag="bind"):
    """A host path at `target`; a missing target is made, and removed again from the upper directory afterwards."""

    target: str
    source: str
    """Opened by the host's rules: nothing that an image or a step has named may be part of it."""
    subpath: str = "/"
    """What of it; links stay inside `source`."""
    readonly: bool = True
    recursive: bool = False
    """With what is mounted below."""


class OverlayMount(msgspec.Struct, frozen=True, kw_only=True, tag="overlay"):
    """`subpath` of an overlay at `target` (a file or a directory; links in `subpath` stay inside the overlay)."""

    target: str
    overlay: Overlay
    subpath: str = "/"
    readonly: bool = True


class Tmpfs(msgspec.Struct, frozen=True, kw_only=True, tag="tmpfs"):
    target: str
    size: int = 0
    mode: int = 0o1777


class File(msgspec.Struct, frozen=True, kw_only=True, tag="file"):
    """Content that exists only in memory (a tmpfs), read-only at `target`: secrets, /etc/hosts, here-documents."""

    target: str
    content: bytes
    mode: int = 0o444
    uid: int = 0
    gid: int = 0


class Socket(msgspec.Struct, frozen=True, kw_only=True, tag="socket"):
    """A host's Unix socket at `target` (ssh agent)."""

    target: str
    source: str
    mode: int = 0o600
    uid: int = 0
    gid: int = 0


ContainerMount: TypeAlias = Bind | OverlayMount | Tmpfs | File | Socket


class Rlimit(msgspec.Struct, frozen=True):
    name: str
    """As in ulimit flags: `nofile`, `nproc`, ..."""
    soft: int
    hard: int


class Container(msgspec.Struct, frozen=True, kw_only=True):
    root: Overlay
    argv: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str = "/"
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    """Supplementary groups."""
    mounts: tuple[ContainerMount, ...] = ()
    """In order; later ones may lie inside earlier ones."""
    network: str = "host"
    """`host`, `none` (a namespace with only loopback), or the path of a network namespace to join."""
    hostname: str = "buildkitsandbox"
    privileged: bool = False
    """--security=insecure: all capabilities, no seccomp, nothing masked."""
    added_capabilities: tuple[str, ...] = ()
    """Beside the usual ones; without `CAP_`, or `ALL`. What is also dropped is not there, `ALL` aside."""
    dropped_capabilities: tuple[str, ...] = ()
    seccomp: bool = True
    """Refuse the system calls that the default profile refuses, or what `seccomp_profile` does."""
    seccomp_profile: str = ""
    """JSON of a `seccomp.profile.Profile`."""
    apparmor: str = ""
    """The AppArmor profile to start the program in; "" for the usual one (`apparmor`), `unconfined` for none."""
    no_new_privileges: bool = False
    masked: tuple[str, ...] = ()
    """Absolute paths to hide beside the usual ones; those that do not exist are fine."""
    unmasked: tuple[str, ...] = ()
    """Usually hidden or read-only paths that are neither; `ALL` for all of them."""
    readonly_root: bool = False
    shm_size: int = 64 << 20
    rlimits: tuple[Rlimit, ...] = ()
    cgroup_parent: str = ""
    memory: int = 0
    memory_swap: int = 0
    cpu_shares: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_limit: int = 0
    """Tasks; 0 for the usual limit (`runtime.spawnergroup`), -1 for none."""
    terminal: bool = False
    """Give the process a pseudo terminal (output is then one stream)."""


class Exit(msgspec.Struct, frozen=True):
    """How the container's first process ended. `status` is 128 + n when signal n did it."""

    status: int
    oom_killed: bool = False


Output: TypeAlias = Callable[[int, bytes], None]
"""Called with stream (1 or 2) and data as it arrives, from the thread that called `run`."""


class Sandbox(Protocol):
    """Runs containers; usable from several threads at once. Closing it ends every container it started."""

    note: Callable[[str], None]
    """Receives, once, what people should know of how their containers run; may be set by the owner."""

    def prepare(self) -> None:
        """Gets ready in the background for a container that is about to be run: it will start sooner."""
        ...

    def run(self, container: Container, output: Output, stdin: BinaryIO | None = None) -> Exit:
        """Runs to the end and returns how it ended. Every process of the container is gone when this returns.

        Raises SandboxError when the container could not be set up (missing executable: the shell's wording and
        status 127, permission: 126, as `Exit`; that is the step's failure, not the sandbox's).
        """
        ...

    def close(self) -> None: ...
