"""What a caller asks of a build, and what comes back: the library's and the command's common language."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeVar

import msgspec

from builder.errors import UsageError

if TYPE_CHECKING:
    from builder.builds.networking import HostEntry, NetworkMode
    from builder.builds.secrets import SecretSource, SshSource
    from builder.images.outputs import Output
    from builder.plan.ulimit import Ulimit
    from builder.remotecache.locations import CacheExport, CacheImport

T = TypeVar("T", bound="_Parsed")


class _Parsed(Protocol):
    @classmethod
    def parse(cls: type[T], text: str) -> T: ...


def value_of(kind: type[T], given: T | str) -> T:
    """An option's value, which the library's callers may write as the flag has it. Raises what `kind.parse` raises."""
    return kind.parse(given) if isinstance(given, str) else given


class BuildOptions(msgspec.Struct, frozen=True, kw_only=True):
    """One build; the fields carry the meaning of docker buildx' flags of the same names.

    Where a field is a value or text, text is what the flag has.
    """

    context: str = "."
    """A directory; `-`: standard input holds a tar of the context, or a Dockerfile; a git or an HTTP URL, s3://, gs://,
    https://ACCOUNT.blob.core.windows.net/..., or dir:// and tar://."""
    context_subdir: str = ""
    """The folder of the context that is the context (kaniko's --context-sub-path)."""
    dockerfile: str = ""
    """Path of the Dockerfile, `-` for standard input; "" is `Dockerfile` (or `Containerfile`) in the context."""
    tags: tuple[str, ...] = ()
    target: str = ""
    build_args: dict[str, str] = {}
    labels: dict[str, str] = {}
    annotations: tuple[str, ...] = ()
    named_contexts: dict[str, str] = {}
    platforms: tuple[str, ...] = ()
    all_platforms: bool = False
    """For every platform that the base images are there for."""
    manifest: str = ""
    """Name of the list in the store that the image is added to (--manifest)."""
    outputs: tuple[Output | str, ...] = ()
    """As text in buildx' syntax (`type=oci,dest=image.tar`); without any the result stays in the store."""
    cache_from: tuple[CacheImport | str, ...] = ()
    """Remote caches to look steps up in, the first ones preferred: `type=registry,ref=...`, `type=local,src=...`."""
    cache_to: tuple[CacheExport | str, ...] = ()
    """Where to keep the steps for other machines: `type=registry,ref=...`, `type=local,dest=...`, `type=inline`."""
    cache_ttl: float | None = None
    """Steps that ran more than this many seconds ago run again (--cache-ttl)."""
    no_cache: bool = False
    no_cache_filter: tuple[str, ...] = ()
    pull: str = "missing"
    """missing, always, newer or never."""
    secrets: tuple[SecretSource, ...] = ()
    ssh: tuple[SshSource, ...] = ()
    network: NetworkMode | str = ""
    """As text default (also ""), none, host, private, or ns:PATH for the network namespace at a path."""
    allow: tuple[str, ...] = ()
    add_hosts: tuple[HostEntry | str, ...] = ()
    ulimits: tuple[Ulimit | str, ...] = ()
    shm_size: int = 0
    cgroup_parent: str = ""
    resources: dict[str, str] = {}
    """memory, memory-swap, cpu-shares, cpu-period, cpu-quota, cpuset-cpus, cpuset-mems, pids-limit; sizes as `512m`."""
    no_hosts: bool = False
    """Steps see the image's own /etc/hosts."""
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security_opts: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    """Each `/host/path:/path[:ro]`, in every step."""
    mounts: tuple[str, ...] = ()
    """As RUN's --mount has them, in every step."""
    base: str = ""
    """Takes the place of what the first FROM names (--from)."""
    env: dict[str, str] = {}
    unset_env: tuple[str, ...] = ()
    inherit_labels: bool = True
    unset_labels: tuple[str, ...] = ()
    inherit_annotations: bool = False
    """Keep the annotations of the base image's manifest, without `unset_annotations`."""
    unset_annotations: tuple[str, ...] = ()
    omit_history: bool = False
    created_annotation: bool = False
    """Annotate the manifest with the time of the build, or SOURCE_DATE_EPOCH."""
    save_stages: bool = False
    """The stages that the target needs become images too, without names."""
    stage_labels: bool = False
    """These, and the image, say in labels which stages they are, and of what."""
    layer_labels: dict[str, str] = {}
    """Labels of these."""
    unused_stages: bool = False
    """Build the stages that the target does not need, too."""
    squash: str = ""
    """`new`: all new layers become one; `all`: those of the base too."""
    jobs: int = 0
    """Steps at the same time; 0 chooses."""
    stdin: BinaryIO | None = None
    """What `-` reads; None is the process' standard input."""

    def __post_init__(self) -> None:
        """Raises UsageError for text in place of a tuple: each of its characters would be a value, `/` a folder."""
        for name in _TUPLES:
            if isinstance(given := getattr(self, name), str):
                raise UsageError(f"`{name}` is text, not a tuple of values", hint=f"write `{name}=({given!r},)`")


_TUPLES = tuple(name for name, default in zip(BuildOptions.__struct_fields__, BuildOptions.__struct_defaults__,
                                               strict=True) if default == ())


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
