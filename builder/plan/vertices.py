"""The build graph: what is to be done, without saying how.

A Plan is a list of vertices in an order in which every input comes first. A vertex is an op (its meaning), the
vertices that it needs (`inputs`, indices into the plan) and what only people see (name, location), which is never part
of its identity. Equal ops over equal inputs are one vertex: the planner interns them.

Which fields of an op or a mount belong to its cache key is declared once, here: all of them, but for the exceptions
that `unkeyed` lists with their reasons.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import ClassVar, TypeAlias

import msgspec

from builder.oci import Descriptor, DiffID, Digest, History, ImageConfig, Platform
from builder.plan.ulimit import Ulimit
from builder.source import Location


class Keyed(msgspec.Struct, frozen=True, kw_only=True):
    """Part of a cache key, but for the fields that are `unkeyed`, each for the reason that stands beside it."""

    unkeyed: ClassVar[Mapping[str, str]] = {}


class Op(Keyed, frozen=True, kw_only=True, tag=str.lower):
    """Base of all ops; the tag names the kind in keys and printed plans."""


# -- sources: vertices without inputs ------------------------------------------------------------------------------


class FromStore(msgspec.Struct, frozen=True, tag="store"):
    """The image's blobs or layers are in the local store."""


class FromRegistry(msgspec.Struct, frozen=True, tag="registry"):
    """Missing layers come from `reference`'s repository."""

    reference: str


class FromLayout(msgspec.Struct, frozen=True, tag="layout"):
    """Missing layers come from the OCI layout in this folder."""

    path: str


ImageOrigin: TypeAlias = FromStore | FromRegistry | FromLayout


class ResolvedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image reference, resolved for one platform: all that planning needs to know."""

    name: str
    """As people know it: `docker.io/library/debian:bookworm`."""
    digest: Digest
    """Of the manifest (not of an index above it)."""
    config: ImageConfig
    layers: tuple[Descriptor, ...]
    """As many as `config.rootfs.diff_ids`, bottom first."""
    origin: ImageOrigin


class SourceImage(Op, frozen=True, kw_only=True):
    """The layers of an image. Keyed by content alone, so a moved tag or another registry changes nothing."""

    unkeyed = dict.fromkeys(("name", "digest", "descriptors", "origin"),
                            "equal layers are equal wherever they come from and however they are packed")
    diff_ids: tuple[DiffID, ...]
    name: str
    digest: Digest
    descriptors: tuple[Descriptor, ...]
    origin: ImageOrigin


class SourceContext(Op, frozen=True, kw_only=True):
    """Local files: the build context (`context`) or a named one. Its result is a file tree, read in place."""

    name: str


class InlineFile(msgspec.Struct, frozen=True):
    name: str
    content: str
    mode: int = 0o644


class SourceInline(Op, frozen=True, kw_only=True):
    """Here-document bodies, as files of a small tree."""

    files: tuple[InlineFile, ...]


class SourceHttp(Op, frozen=True, kw_only=True):
    """One file from a URL (ADD): named `filename`, mode 0600, mtime from Last-Modified."""

    unkeyed = dict.fromkeys(("auth_header_secret", "auth_token_secret"), "what they give access to is keyed")
    url: str
    filename: str
    checksum: str = ""
    auth_header_secret: str = ""
    auth_token_secret: str = ""


class SourceGit(Op, frozen=True, kw_only=True):
    """A git tree (ADD or a context)."""

    remote: str
    ref: str = ""
    subdir: str = ""
    checksum: str = ""
    keep_git_dir: bool = False
    submodules: bool = True
    mtime: str = ""
    """"" or "checkout": time of checkout; "commit": of the commit."""
    fetch_by_commit: bool = False
    """Fetch `checksum` without asking the remote what `ref` is; `ref` only names it."""


# -- file operations -----------------------------------------------------------------------------------------------


class CopySource(msgspec.Struct, frozen=True, kw_only=True):
    """What one input contributes to a Copy."""

    input: int
    """Position in the vertex' inputs (the parent, where there is one, has position 0)."""
    paths: tuple[str, ...]
    """Go path patterns (`*`, `?`, `[...]`), relative to the source's root; variables already expanded."""
    literal: bool = False
    """The paths are names, not patterns (URL, git and here-document sources)."""
    unpack: bool = False
    """A regular file whose content is an archive is unpacked instead (local ADD, or --unpack=true)."""


class Copy(Op, frozen=True, kw_only=True):
    """COPY or ADD: one new layer that holds the copied files."""

    sources: tuple[CopySource, ...]
    destination: str
    """Absolute; a trailing slash means a directory."""
    has_parent: bool
    owner: str | None = None
    """--chown as written after expansion (`user[:group]`); None keeps the source's ids (0:0 for a context)."""
    mode: str = ""
    """--chmod: octal, or symbolic as chmod(1)."""
    exclude: tuple[str, ...] = ()
    parents: bool = False
    link: bool = False
    """--link: the layer does not look at the parent at all."""


class MakeDirectory(Op, frozen=True, kw_only=True):
    """WORKDIR: a layer with the directory and its missing parents, owned by `user`; empty where it exists."""

    path: str
    user: str = ""
    created: int | None = None
    """The directories' time, seconds since the epoch (SOURCE_DATE_EPOCH); None for the time of the build."""


# -- RUN -----------------------------------------------------------------------------------------------------------


class Network(enum.StrEnum):
    DEFAULT = "default"
    """Private where the machine offers that, else the host's."""
    NONE = "none"
    HOST = "host"
    PRIVATE = "private"
    """Not in a Dockerfile: the steps' own, connected to the outside, or an error."""


class Sharing(enum.StrEnum):
    SHARED = "shared"
    PRIVATE = "private"
    LOCKED = "locked"


_SELECTED = "what it selects is keyed instead"


class BindMount(Keyed, frozen=True, kw_only=True, tag="bind"):
    """A path of another vertex' result, at `target`; writes (if allowed) are thrown away."""

    unkeyed = {"input": _SELECTED, "source": _SELECTED}
    target: str
    input: int
    source: str = "/"
    readonly: bool = True


class CacheMount(Keyed, frozen=True, kw_only=True, tag="cache"):
    """A directory that survives builds.

    With `mode`, `uid` or `gid` and without a source it is a directory of its own, by default 0755 of root. Without them
    it is as the initial content has it; without that 0755, of the owner of the target in the image, or else of its
    closest parent there.
    """

    unkeyed = {
        "id": "BuildKit's exception: what a cache holds is no input, so neither is which cache it is",
        "sharing": "BuildKit's exception: it changes when the step runs, not what it sees",
        "input": _SELECTED, "source": _SELECTED,
    }
    target: str
    id: str
    sharing: Sharing = Sharing.SHARED
    input: int | None = None
    """Initial content."""
    source: str = "/"
    readonly: bool = False
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


class TmpfsMount(Keyed, frozen=True, kw_only=True, tag="tmpfs"):
    target: str
    size: int = 0
    """Bytes; 0 for no limit."""


class SecretMount(Keyed, frozen=True, kw_only=True, tag="secret"):
    """A secret as a file at `target` ("" for none) and in variable `env` ("" for none). Its value is never keyed."""

    id: str
    target: str = ""
    env: str = ""
    required: bool = False
    mode: int = 0o400
    uid: int = 0
    gid: int = 0


class SshMount(Keyed, frozen=True, kw_only=True, tag="ssh"):
    id: str = "default"
    target: str = ""
    required: bool = False
    mode: int = 0o600
    uid: int = 0
    gid: int = 0


class HostMount(Keyed, frozen=True, kw_only=True, tag="host"):
    """--volume: a path of this machine, to which writes go. What is in it is not keyed, as in Buildah."""

    target: str
    source: str
    readonly: bool = False


Mount: TypeAlias = BindMount | CacheMount | TmpfsMount | SecretMount | SshMount | HostMount


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one step may use; 0 and "" set no limit but the usual one of tasks, where -1 is none."""

    memory: int = 0
    """Bytes."""
    memory_swap: int = 0
    """Memory and swap together, bytes; -1 for as much swap as there is."""
    cpu_shares: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    """Microseconds of each period, which is in microseconds too."""
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_limit: int = 0


class Dns(msgspec.Struct, frozen=True, kw_only=True):
    """--dns, --dns-search and --dns-option: each replaces what the host has of its kind.

    The server `none` leaves /etc/resolv.conf to the image.
    """

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class Confinement(msgspec.Struct, frozen=True, kw_only=True):
    """--cap-add, --cap-drop and --security-opt: how far a step's rights differ from the usual ones."""

    added: tuple[str, ...] = ()
    """Capabilities without `CAP_`, or `ALL`; so are `dropped`, which win."""
    dropped: tuple[str, ...] = ()
    seccomp: bool = True
    """Whether system calls are refused: those that the default profile refuses, or `seccomp_profile`."""
    seccomp_profile: str = ""
    """As JSON, in the form that `linux.seccomp` has in the OCI runtime specification."""
    apparmor: str = ""
    """Name of a loaded profile that the step's program is to start in."""
    no_new_privileges: bool = False
    masked: tuple[str, ...] = ()
    """Paths to hide beside the usual ones."""
    unmasked: tuple[str, ...] = ()
    """Usually hidden or read-only paths that are neither, or `ALL`."""


class Run(Op, frozen=True, kw_only=True):
    """RUN: a process in a sandbox over the parent (input 0; absent for scratch); its writes are one new layer."""

    unkeyed = {
        "arg_names": "only explains; the variables themselves are in `env`",
        "has_parent": "the layers below are keyed",
        "proxy_env": "BuildKit's exception: another way to the network does not make another network",
    }
    argv: tuple[str, ...]
    env: tuple[str, ...]
    """`key=value`, ARG values included, in order."""
    arg_names: tuple[str, ...] = ()
    """Which of them are build args, for explanations."""
    cwd: str
    has_parent: bool
    user: str = ""
    mounts: tuple[Mount, ...] = ()
    files: tuple[InlineFile, ...] = ()
    """Read-only files under /dev/pipes: the body of a here-document with a shebang."""
    network: Network = Network.DEFAULT
    namespace: str = ""
    """Path of the network namespace to join, with network DEFAULT."""
    security: str = "sandbox"
    confinement: Confinement = Confinement()
    extra_hosts: tuple[tuple[str, str], ...] = ()
    """Names and addresses. Of these only the names are keyed (BuildKit's exception: addresses change, hosts stay)."""
    hostname: str = ""
    proxy_env: tuple[str, ...] = ()
    ulimits: tuple[Ulimit, ...] = ()
    shm_size: int = 0
    cgroup_parent: str = ""
    limits: Limits = Limits()
    dns: Dns = Dns()
    hosts_file: bool = True
    """Show a made /etc/hosts instead of the image's."""


AnyOp: TypeAlias = (
    SourceImage | SourceContext | SourceInline | SourceHttp | SourceGit | Copy | MakeDirectory | Run
)


class Vertex(msgspec.Struct, frozen=True, kw_only=True):
    op: AnyOp
    inputs: tuple[int, ...] = ()
    name: str
    """What progress shows: `[build 2/5] RUN make`."""
    location: Location | None = None
    stage: str = ""
    ignore_cache: bool = False
    """Run it even on a hit (--no-cache, --no-cache-filter); the fresh result replaces the recorded one."""


class SavedStage(msgspec.Struct, frozen=True, kw_only=True):
    """A stage as an image of its own (--save-stages); the fields that Plan has too mean the same."""

    index: int
    name: str
    """Its position if it has none."""
    base: str
    """As its FROM names it, variables expanded."""
    base_stage: int | None
    """The index of the stage that it continues."""
    output: int | None
    config: ImageConfig
    history: tuple[History, ...]
    image: ResolvedImage | None
    """Plan's `base`."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A Dockerfile with its options, for one platform, down to one image."""

    vertices: tuple[Vertex, ...]
    output: int | None
    """The vertex whose layers the image has; None for an image without layers."""
    config: ImageConfig
    """Of the image, history of its base included, without `rootfs` and `created`."""
    history: tuple[History, ...]
    """All entries, base first; as many non-empty ones as `output` has layers."""
    platform: Platform
    base: ResolvedImage | None = None
    """The image that the target stage ultimately starts from."""
    epoch: int | None = None
    """SOURCE_DATE_EPOCH, seconds."""
    stages: tuple[SavedStage, ...] = ()
    """The others that the target needs, in order, if they are to be saved."""
    target: SavedStage | None = None
    """The target itself, if stages are to be saved."""
