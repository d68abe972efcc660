"""What a build is asked for, as planning sees it, and what answers what planning asks."""

from __future__ import annotations

from typing import Protocol, TypeAlias

import msgspec

from builder.language.runmounts import RunMount
from builder.oci import Platform
from builder.plan.ulimit import Ulimit
from builder.plan.vertices import (
    Confinement,
    Dns,
    HostMount,
    Limits,
    Network,
    Plan,
    ResolvedImage,
    SourceGit,
    SourceHttp,
)
from builder.reference import Reference


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for all RUN steps of a build; a RUN's own flags come first."""

    network: Network = Network.DEFAULT
    namespace: str = ""
    """Path of the network namespace that steps join."""
    extra_hosts: tuple[tuple[str, str], ...] = ()
    hosts_file: bool = True
    dns: Dns = Dns()
    hostname: str = ""
    ulimits: tuple[Ulimit, ...] = ()
    shm_size: int = 0
    cgroup_parent: str = ""
    limits: Limits = Limits()
    confinement: Confinement = Confinement()
    volumes: tuple[HostMount, ...] = ()
    mounts: tuple[RunMount, ...] = ()
    """As RUN's --mount has them; they come before a RUN's own."""


class ImageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line adds to, and takes from, the image that the Dockerfile describes."""

    labels: dict[str, str] = {}
    env: dict[str, str] = {}
    unset_env: frozenset[str] = frozenset()
    inherit_labels: bool = True
    """False: labels of base images are dropped."""
    unset_labels: frozenset[str] = frozenset()
    """Labels of base images that are dropped."""


class PlanOptions(msgspec.Struct, frozen=True, kw_only=True):
    build_platform: Platform
    platform: Platform
    """Wanted; without `explicit_platform` the base image decides."""
    explicit_platform: bool = False
    multi_platform: bool = False
    """One of several platforms of a build: step names carry it."""
    target: str = ""
    build_args: dict[str, str] = {}
    no_cache: bool = False
    no_cache_filter: frozenset[str] = frozenset()
    """Stage names, lower case."""
    run: RunSettings = RunSettings()
    image: ImageSettings = ImageSettings()
    base: str = ""
    """Takes the place of the first stage's base."""
    cache_namespace: str = ""
    """Separates cache mounts of equal ids (BUILDKIT_CACHE_MOUNT_NS)."""
    allow: frozenset[str] = frozenset()
    """Entitlements: `network.host`, `security.insecure`."""
    all_stages: bool = False
    """Look also at the bases of stages that the target does not need (for checks)."""
    unused_stages: bool = False
    save_stages: bool = False
    """The plan tells how the stages become images, too."""
    """Plan and keep also what the target does not need."""


class ContextTree(msgspec.Struct, frozen=True):
    """A named context that is a local tree; the solver knows it by `name`."""

    name: str


class EmptyTree(msgspec.Struct, frozen=True):
    """A named context that is `docker-image://scratch`."""


NamedContext: TypeAlias = ContextTree | EmptyTree | ResolvedImage | SourceHttp | SourceGit | Plan
"""A Plan is another target of the same run: its image is what is stood on, without having been made yet."""


class MetaResolver(Protocol):
    """Answers what planning must ask: image configs and named contexts. Answers may be remembered for one build."""

    def image(self, reference: Reference, platform: Platform) -> ResolvedImage:
        """Raises ImageError or RegistryError."""
        ...

    def named_context(self, name: str, platform: Platform) -> NamedContext | None:
        """What --build-context gave for `name` (a stage's or an image's), or None."""
        ...

    def ignored(self, path: str) -> bool:
        """True when .dockerignore certainly leaves `path`, cleaned but for its first `/`, out; for the checks."""
        ...
