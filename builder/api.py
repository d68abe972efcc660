"""What `import builder` offers, and the one place that wires the rooms together.

    import builder

    result = builder.build(builder.BuildOptions(context=".", tags=("app:dev",)))
    print(result.digest)

A Builder holds the open store and the sandbox; `build` is the shorthand that opens one for one build.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

from builder.builds.options import BuildOptions, BuildResult
from builder.builds.secrets import SecretSource, SshSource
from builder.errors import BuilderError, UsageError
from builder.platforms import host_platform, parse_platform
from builder.reference import Reference
from builder.solver.events import AnyEvent, Emit

if TYPE_CHECKING:
    from builder.builds.buildtarget import BuildTarget, Tools
    from builder.containers.run import RunOptions
    from builder.images.catalog import Catalog
    from builder.images.pull import LayerSource
    from builder.images.summary import HistoryRow, ImageSummary, RemovedImage
    from builder.inspection.inspector import Inspector
    from builder.lint.report import Report
    from builder.plan.outline import Outline
    from builder.plan.targets import Targets
    from builder.registry.access import RegistryAccess
    from builder.registry.settings import RegistrySettings
    from builder.sandbox.container import Output, Sandbox
    from builder.solver.intervention import Intervene
    from builder.store import Store
    from builder.store.builds import Build
    from builder.store.fsck import Finding
    from builder.store.gc import PrunePolicy, PruneReport
    from builder.store.usage import Usage


class Builder:
    """An open state folder and a sandbox. A context manager; usable from several threads."""

    def __init__(self, root: str | None = None, *, runtime: str = "builtin",
                 registry_settings: RegistrySettings | None = None) -> None:
        """Opens nothing yet; the state folder is opened, or made, by the first call that needs it."""
        self.root = root or default_root()
        self.runtime = runtime
        self._store: Store | None = None
        self._registries: RegistryAccess | None = None
        self._registry_settings = registry_settings

    def __enter__(self) -> Builder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the store. Idempotent."""
        if self._store is not None:
            self._store.close()
            self._store = None

    @property
    def store(self) -> Store:
        """The state folder. Raises StoreError."""
        if self._store is None:
            from builder.store import Store

            self._store = Store.open(self.root)
        return self._store

    @property
    def registries(self) -> RegistryAccess:
        if self._registries is None:
            from builder.registry.access import RegistryAccess

            self._registries = RegistryAccess(self._registry_settings)
        return self._registries

    @property
    def catalog(self) -> Catalog:
        """The images of the store."""
        from builder.images.catalog import Catalog

        return Catalog(self.store)

    def _layers(self) -> LayerSource:
        from builder.images.pull import LayerSource

        return LayerSource(self.store, self.registries)

    def _open_sandbox(self) -> Sandbox:
        from builder.sandbox import open_sandbox

        return open_sandbox(runtime=self.runtime, state_dir=os.path.join(self.root, "sandbox"),
                            xattr=self.store.xattr_prefix)

    def _target(self, options: BuildOptions) -> BuildTarget:
        from builder.builds.buildtarget import BuildTarget

        return BuildTarget(self._tools(), options)

    def _tools(self) -> Tools:
        from builder.builds.buildtarget import Tools

        return Tools(self.store, self._open_sandbox, self.registries, self._layers())

    @property
    def inspector(self) -> Inspector:
        """Looks into steps of recorded builds, and forecasts builds."""
        from builder.inspection.inspector import Inspector

        return Inspector(self._tools())

    # -- builds --------------------------------------------------------------------------------------------------

    def build(self, options: BuildOptions, on_event: Emit | None = None,
              on_failure: Intervene | None = None) -> BuildResult:
        """Builds and exports. Raises BuilderError; what had been built before stays in the cache.

        `on_failure` is asked what to do about a RUN that failed, while its container can still be entered.
        """
        from builder.builds.buildrun import BuildRun

        return BuildRun(self._tools(), {"": options}, on_event, on_failure).run()[""]

    def build_all(self, targets: Mapping[str, BuildOptions], on_event: Emit | None = None) -> dict[str, BuildResult]:
        """Builds and exports several targets as one run; a named context `target:NAME` is the image of another one.

        What targets share is read, run and kept once. Raises BuilderError; what had been built stays in the cache.
        """
        from builder.builds.buildrun import BuildRun

        return BuildRun(self._tools(), targets, on_event).run()

    def fetch_context(self, url: str, target_dir: str) -> str | None:
        """Fills an empty folder with what is at a URL; the one file's name where it is no archive and no repository.

        Raises UsageError for what is no URL, and what fetching raises.
        """
        from builder.context.git import GitAccess
        from builder.context.httpsource import HttpAccess
        from builder.context.remotecontext import open_remote_context, remote_source

        source = remote_source(url)
        if source is None:
            raise UsageError(f"`{url}` is no URL of a git repository or an HTTP server")
        with self.store.lease():
            git = GitAccess(cache_dir=os.path.join(self.root, "git"), secret=lambda name: None,
                            ssh_socket=os.environ.get("SSH_AUTH_SOCK"))
            return open_remote_context(source, target_dir, git=git,
                                       http=HttpAccess(secret=lambda name: None)).dockerfile

    def print_build(self, options: BuildOptions, what: str) -> str:
        """The value between two rooms as text: `ast`, `plan` or `keys`. Nothing is run."""
        if what == "keys":
            from builder.inspection.forecast import key_lines

            return "".join(key_lines(forecast) for forecast in self.inspector.forecast(options))
        target = self._target(options)
        if what == "ast":
            from builder.language.syntaxdump import dump as dump_dockerfile

            return dump_dockerfile(target.dockerfile())
        from builder.plan.plantext import dump as dump_plan

        return "\n".join(dump_plan(planned) for planned in target.plans())

    def check(self, options: BuildOptions) -> Report:
        """What is to be said about the Dockerfile, its mistakes included; nothing is built."""
        return self._target(options).check()

    def outline(self, options: BuildOptions) -> Outline:
        """The args, secrets, agents and caches that a build of the target can use. Raises BuilderError."""
        return self._target(options).outline()

    def targets(self, options: BuildOptions) -> Targets:
        """The stages of the Dockerfile. Raises DockerfileErrors."""
        from builder.plan.targets import targets

        return targets(self._target(options).dockerfile())

    # -- images and containers ----------------------------------------------------------------------------------

    def images(self) -> tuple[ImageSummary, ...]:
        """The images of the store by name, the latest first."""
        return tuple(self.catalog.summaries())

    def history(self, image: str) -> tuple[HistoryRow, ...]:
        """An image's history, the latest entry first. Raises ImageError if there is no such image."""
        return tuple(self.catalog.history(image))

    def inspect(self, image: str) -> dict[str, Any]:
        """An image as `docker image inspect` describes it, every field present. Raises ImageError."""
        return self.catalog.inspect(image)

    def tag(self, source: str, target: str) -> None:
        """Gives an image of the store another name, which another image may lose by it. Raises ImageError."""
        self.catalog.tag(source, target)

    def remove_image(self, image: str, *, force: bool = False) -> RemovedImage:
        """Takes a name away; by id or digest all of an image's names, several only with `force`. Raises ImageError."""
        return self.catalog.remove(image, force=force)

    def save(self, images: tuple[str, ...], output: BinaryIO, *, platform: str = "") -> None:
        """Writes an archive that both `docker load` and OCI tools read. Raises ImageError."""
        from builder.images.save import save_images

        save_images(self.store, [self.catalog.find(image).name for image in images], output, self._layers(),
                    platform=parse_platform(platform) if platform else None)

    def load(self, archive: BinaryIO) -> tuple[str, ...]:
        """Reads an archive of `docker save` or an OCI layout; the names, or ids where nameless. Raises ImageError."""
        from builder.images.load import load_archive

        loaded = load_archive(self.store, archive)
        return tuple(name for image in loaded for name in image.names or (image.descriptor.digest,))

    def import_image(self, archive: BinaryIO, *, tag: str = "", changes: tuple[str, ...] = (), message: str = "",
                     platform: str = "") -> str:
        """An image of one layer from the (packed) tar of a file system; its id. `changes` are instructions."""
        from builder.builds.configchanges import apply_changes
        from builder.images.importing import import_rootfs

        name = str(Reference.parse(tag).with_default_tag()) if tag else ""
        return import_rootfs(
            self.store, archive, self._layers(), platform=parse_platform(platform) if platform else host_platform(),
            names=(name,) if name else (), config=apply_changes(changes), message=message).digest

    def pull(self, image: str, *, platform: str = "", on_event: Emit | None = None) -> ImageSummary:
        """Brings an image into the store. Raises RegistryError, ImageError."""
        from builder.images.byname import pull

        return pull(self.store, self.registries, self._layers(), self.catalog, image,
                    parse_platform(platform) if platform else host_platform(), on_event)

    def push(self, image: str, on_event: Emit | None = None) -> str:
        """Sends an image to the registry in its name; the manifest's digest. Raises RegistryError, ImageError."""
        from builder.images.byname import push

        return push(self.store, self.registries, self._layers(), self.catalog, image, on_event)

    def run(self, image: str, options: RunOptions, output: Output, stdin: BinaryIO | None = None, *,
            platform: str = "", pull: str = "missing", note: Callable[[str], None] = lambda _: None) -> int:
        """Runs a command in a container of an image, fetched if `pull` says so; the exit status of its process.

        `note` receives a remark for people: why the container has no network.
        """
        from builder.containers.run import run_image
        from builder.images.byname import layers_of
        from builder.plan.vertices import Network
        from builder.solver.networkmodes import Networks

        networks = Networks(note)
        wanted = parse_platform(platform) if platform else host_platform()
        with self.store.lease():
            layers, config = layers_of(self.store, self.registries, self._layers(), image, wanted, pull)
            sandbox = self._open_sandbox()
            try:
                with networks.lend(Network(options.network), may_change=options.privileged) as network:
                    return run_image(self.store, sandbox, layers, config, options, network, output, stdin).status
            finally:
                sandbox.close()
                networks.close()

    def login(self, registry: str, username: str, password: str) -> None:
        """Checks the credentials with the registry and keeps them where docker does. Raises RegistryError."""
        from builder.registry.client import RegistryClient
        from builder.registry.credentials import Credentials
        from builder.registry.credentials import login as keep
        from builder.registry.settings import RegistrySettings

        RegistryClient(RegistrySettings(credentials={registry: (username, password)})).check_login(registry)
        keep(registry, Credentials(username, password))

    def logout(self, registry: str) -> bool:
        """Forgets the credentials; False if there were none."""
        from builder.registry.credentials import logout as forget

        return forget(registry)

    # -- the store ----------------------------------------------------------------------------------------------

    def usage(self, filters: tuple[str, ...] = ()) -> list[Usage]:
        """What takes space, largest first. Raises UsageError for a filter that makes no sense."""
        from builder.store.usage import du

        return du(self.store, filters)

    def prune(self, policy: PrunePolicy) -> PruneReport:
        """Removes what the policy does not keep, but for what an image, a container or a running build needs."""
        from builder.store.gc import prune

        return prune(self.store, policy)

    def fsck(self, *, repair: bool = False) -> list[Finding]:
        """Problems of the state folder; with `repair` they are repaired."""
        from builder.store.fsck import fsck

        return fsck(self.store, repair=repair)

    def builds(self, limit: int = 0) -> list[Build]:
        """The recorded builds, latest first; the last `limit` ones if given."""
        return self.store.builds(limit)

    def find_build(self, prefix: str = "") -> Build:
        """A build by its id or the only one that begins so; the latest for "". Raises StoreError."""
        from builder.store.builds import find_build

        return find_build(self.store, prefix)

    def step_log(self, build: str, ordinal: int) -> bytes:
        """All output of a step that ran; b"" for one that did not."""
        from builder.store.builds import BuildId

        try:
            with open(self.store.log_path(BuildId(build), ordinal), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return b""

    def doctor(self) -> list[str]:
        """What this machine allows, a line for each probe; layers are tried in the state folder."""
        from builder.sandbox.probe import probe

        folder = os.path.abspath(self.root)
        while not os.path.isdir(folder):
            folder = os.path.dirname(folder)
        return list(probe(folder).lines())


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
