"""What `import builder` offers, and the one place that wires the rooms together.

    import builder

    result = builder.build(builder.BuildOptions(context=".", tags=("app:dev",)))
    print(result.digest)

A Builder holds the open store and the sandbox; `build` is the shorthand that opens one for one build.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import BinaryIO

import msgspec

from builder.engine.events import AnyEvent, Emit, WarningRaised
from builder.errors import BuilderError


class SecretSource(msgspec.Struct, frozen=True, kw_only=True):
    """--secret id=...[,src=FILE | ,env=NAME]."""

    id: str
    file: str = ""
    env: str = ""


class SshSource(msgspec.Struct, frozen=True, kw_only=True):
    """--ssh id[=socket|key,...]; no paths means $SSH_AUTH_SOCK."""

    id: str = "default"
    paths: tuple[str, ...] = ()


class BuildOptions(msgspec.Struct, frozen=True, kw_only=True):
    """One build; the fields carry the meaning of docker buildx' flags of the same names."""

    context: str = "."
    """A directory, or `-`: standard input holds a tar of the context, or a Dockerfile."""
    dockerfile: str = ""
    """Path of the Dockerfile, `-` for standard input; "" is `Dockerfile` (or `Containerfile`) in the context."""
    tags: tuple[str, ...] = ()
    target: str = ""
    build_args: dict[str, str] = {}
    labels: dict[str, str] = {}
    annotations: tuple[str, ...] = ()
    named_contexts: dict[str, str] = {}
    platforms: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    """Each in buildx' syntax (`type=oci,dest=image.tar`); without any the result stays in the store."""
    no_cache: bool = False
    no_cache_filter: tuple[str, ...] = ()
    pull: str = "missing"
    """missing, always, newer or never."""
    secrets: tuple[SecretSource, ...] = ()
    ssh: tuple[SshSource, ...] = ()
    network: str = "default"
    allow: tuple[str, ...] = ()
    add_hosts: tuple[str, ...] = ()
    ulimits: tuple[str, ...] = ()
    shm_size: int = 0
    cgroup_parent: str = ""
    resources: dict[str, str] = {}
    """memory, memory-swap, cpu-shares, cpu-period, cpu-quota, cpuset-cpus, cpuset-mems."""
    jobs: int = 0
    """Steps at the same time; 0 chooses."""
    stdin: BinaryIO | None = None
    """What `-` reads; None is the process' standard input."""


class BuildResult(msgspec.Struct, frozen=True, kw_only=True):
    build: str
    """Id of the build's record."""
    digest: str
    """Of the manifest, or of the index above several platforms; "" for outputs that are not images."""
    image_id: str
    """Of the config: what docker calls the image id."""
    names: tuple[str, ...]
    metadata: dict[str, object]
    """What --metadata-file holds."""
    warnings: int


class Builder:
    """An open state folder and a sandbox. A context manager; usable from several threads."""

    def __init__(self, root: str | None = None, *, runtime: str = "builtin") -> None:
        self.root = root or default_root()
        self.runtime = runtime

    def __enter__(self) -> Builder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends running steps and closes the store. Idempotent."""

    def build(self, options: BuildOptions, on_event: Emit | None = None) -> BuildResult:
        """Builds and exports. Raises BuilderError; what had been built before stays in the cache."""
        raise NotImplementedError

    def print_build(self, options: BuildOptions, what: str) -> str:
        """The value between two rooms as text: `ast`, `plan` or `keys`."""
        raise NotImplementedError

    def check(self, options: BuildOptions) -> tuple[WarningRaised, ...]:
        """The lint findings of the Dockerfile, in order of their place; nothing is built. Raises DockerfileErrors."""
        raise NotImplementedError


def build(options: BuildOptions, *, root: str | None = None, on_event: Emit | None = None) -> BuildResult:
    """Builds with a Builder of its own."""
    with Builder(root) as opened:
        return opened.build(options, on_event)


def default_root() -> str:
    """$BUILDER_ROOT, else /var/lib/builder for root, else $XDG_DATA_HOME/builder (~/.local/share/builder)."""
    if chosen := os.environ.get("BUILDER_ROOT"):
        return chosen
    if os.geteuid() == 0 and not os.environ.get("BUILDER_ROOTLESS"):
        return "/var/lib/builder"
    data = os.environ.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")
    return os.path.join(data, "builder")


__all__ = ["AnyEvent", "BuildOptions", "BuildResult", "Builder", "BuilderError", "SecretSource", "SshSource", "build",
           "default_root"]
