"""The documents that the runtime is sent: `builder.sandbox.container` as plain dicts. Only for type checking."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class OverlayDocument(TypedDict):
    lowers: tuple[str, ...]
    upper: str
    work: str


class MountDocument(TypedDict, total=False):
    """One of the kinds of mounts; which keys are present depends on `type`."""

    type: str
    target: str
    source: str
    readonly: bool
    recursive: bool
    overlay: OverlayDocument
    subpath: str
    size: int
    mode: int
    content: bytes
    uid: int
    gid: int


class RlimitDocument(TypedDict):
    name: str
    soft: int
    hard: int


class RuntimeDocument(TypedDict):
    """An OCI runtime that is to run the container in our stead."""

    command: str
    name: str
    cgroups_path: str
    config: bytes


class ContainerDocument(TypedDict):
    root: OverlayDocument
    argv: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    mounts: tuple[MountDocument, ...]
    network: str
    hostname: str
    privileged: bool
    added_capabilities: tuple[str, ...]
    dropped_capabilities: tuple[str, ...]
    seccomp: bool
    seccomp_filter: NotRequired[bytes]
    """In place of the default profile's."""
    apparmor: str
    no_new_privileges: bool
    masked: tuple[str, ...]
    unmasked: tuple[str, ...]
    readonly_root: bool
    shm_size: int
    rlimits: tuple[RlimitDocument, ...]
    cgroup_parent: str
    memory: int
    memory_swap: int
    cpu_shares: int
    cpu_period: int
    cpu_quota: int
    cpuset_cpus: str
    cpuset_mems: str
    pids_limit: int
    terminal: bool
    oci: NotRequired[RuntimeDocument]
