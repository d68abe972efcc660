"""Answers what planning asks: image configs, and what --build-context gave a name."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from builder.context.local import LocalContext, find_ignore_file
from builder.errors import BuilderError, ContextError, RegistryError
from builder.images.resolve import Pull, Resolver
from builder.language.ignore import IgnoreRules
from builder.layer.tree import FileTree
from builder.oci import Platform, parse_digest
from builder.plan.planoptions import ContextTree, EmptyTree, NamedContext
from builder.plan.vertices import Plan, ResolvedImage
from builder.reference import Reference
from builder.solver.reporter import Progress

if TYPE_CHECKING:
    from builder.context.objectstore import ObjectLocation

Links: TypeAlias = Callable[[str, Platform], Plan]

LINK = "target:"
LAYOUT = "oci-layout://"
_IMAGE_SCHEMES = ("docker-image://", "container-image://")


class BuildMetaResolver:
    """One build's; every image is resolved once per platform. `trees` collects the local trees that are named."""

    def __init__(self, resolver: Resolver, named: Mapping[str, str], rules: IgnoreRules | None, context: FileTree,
                 progress: Progress, *, pull: Pull, fetch: Callable[[ObjectLocation], FileTree],
                 links: Links | None = None, offline: bool = False) -> None:
        """With `offline`, an image whose registry cannot be reached is an unknown one, and `unreached` has the error.

        `links` gives the plans of other targets, for contexts that name them (`target:NAME`).

        `fetch` gives the files of contexts in object stores. Raises ContextError for a named context that is not there,
        whether something uses it or not.
        """
        self.trees: dict[str, FileTree] = {"context": context}
        self._reserved = frozenset(self.trees)
        self._resolver = resolver
        self._named = {_normal(name): value for name, value in named.items()}
        self._rules = rules
        self._progress = progress
        self._pull = pull
        self._links = links
        self._fetch = fetch
        for name, value in named.items():
            _check(name, value, links=links is not None)
        self._images: dict[tuple[str, Platform], ResolvedImage] = {}
        self._offline = offline
        self.unreached: list[BuilderError] = []

    def image(self, reference: Reference, platform: Platform) -> ResolvedImage:
        return self._remember(str(reference), platform,
                              lambda: self._resolver.resolve(reference, platform, pull=self._pull))

    def offered(self, reference: Reference) -> tuple[Platform, ...]:
        """The platforms that the image is there for. Raises as `image` does."""
        return self._resolver.platforms(reference, pull=self._pull)

    def named_context(self, name: str, platform: Platform) -> NamedContext | None:
        name = _normal(name)
        value = self._named.get(name)
        if value is None:
            return None
        if name in self._reserved:
            name += ":latest"
        if self._links is not None and value.startswith(LINK):
            return self._links(value.removeprefix(LINK), platform)
        for scheme in _IMAGE_SCHEMES:
            if value.startswith(scheme):
                target = value.removeprefix(scheme)
                if target == "scratch":
                    return EmptyTree()
                return self.image(Reference.parse(target).with_default_tag(), platform)
        if value.startswith(LAYOUT):
            return self._layout(value, platform)
        if not os.path.isdir(value) and (location := _object(value)) is not None:
            if name not in self.trees:
                with self._progress.internal(f"[context {name}] load {value}"):
                    self.trees[name] = self._fetch(location)
            return ContextTree(name)
        if not os.path.isdir(value) and (source := _remote(value)) is not None:
            return source
        return self._directory(name, value)

    def ignored(self, path: str) -> bool:
        return self._rules is not None and self._rules.hides(path)

    def _layout(self, value: str, platform: Platform) -> ResolvedImage:
        folder, tag, digest = _layout_parts(value)
        return self._remember(value, platform, lambda: self._resolver.resolve_layout(
            folder, tag, parse_digest(digest) if digest else None, platform))

    def _directory(self, name: str, path: str) -> ContextTree:
        if name not in self.trees:
            found = find_ignore_file(path, "")
            rules = IgnoreRules.parse(found[1], os.path.basename(found[0])) if found else None
            self.trees[name] = LocalContext(path, rules)
        return ContextTree(name)

    def _remember(self, name: str, platform: Platform, resolve: Callable[[], ResolvedImage]) -> ResolvedImage:
        key = (name, platform)
        if key not in self._images:
            try:
                with self._progress.internal(f"[internal] load metadata for {name}"):
                    self._images[key] = _about(name, resolve)
            except BuilderError as error:
                from builder.registry.errors import Unreachable

                if not self._offline or not isinstance(error, Unreachable):
                    raise
                from builder.plan.offline import unknown_image

                self.unreached.append(error)
                self._images[key] = unknown_image(name, platform)
        return self._images[key]


def _check(name: str, value: str, *, links: bool) -> None:
    if value.startswith(_IMAGE_SCHEMES) or (links and value.startswith(LINK)):
        return
    if value.startswith(LAYOUT):
        if _is_missing(folder := layout_folder(value)):
            raise ContextError(f"named context `{name}`: no OCI layout `{folder}`")
        return
    if (value and os.path.isdir(value)) or _object(value) is not None or _remote(value) is not None:
        return
    if "://" in value:
        raise ContextError(f"named context `{name}`: `{value}` is of no known kind",
                           hint="a directory, docker-image://, oci-layout://, s3://, gs://, a git or an HTTP URL")
    what = f"no directory `{value}`" if value else "there is nothing behind the `=`"
    raise ContextError(f"named context `{name}`: {what}")


def _is_missing(folder: str) -> bool:
    """Whether there is no such directory; one that may not be looked at is met again when it is used."""
    try:
        return not stat.S_ISDIR(os.stat(folder).st_mode)
    except PermissionError:
        return False
    except OSError:
        return True


def layout_folder(value: str) -> str:
    """The folder of `oci-layout://FOLDER[:TAG][@DIGEST]`."""
    return _layout_parts(value)[0]


def _layout_parts(value: str) -> tuple[str, str, str]:
    path, _, digest = value.removeprefix(LAYOUT).partition("@")
    head, colon, tag = path.rpartition(":")
    return (path, "", digest) if not colon or "/" in tag else (head, tag, digest)


def _about(name: str, resolve: Callable[[], ResolvedImage]) -> ResolvedImage:
    """What `resolve` gives; what a registry says instead names the image."""
    try:
        return resolve()
    except RegistryError as error:
        if name not in error.message:
            error.message = f"`{name}`: {error.message}"
        raise


def _object(value: str) -> ObjectLocation | None:
    if "://" not in value:
        return None
    from builder.context.objectstore import object_location

    return object_location(value)


def _remote(value: str) -> NamedContext | None:
    from builder.context.remotecontext import remote_source

    return remote_source(value)


def _normal(name: str) -> str:
    """Image names compare in their familiar form without `:latest`, other names as they are."""
    try:
        return Reference.parse(name).familiar.removesuffix(":latest")
    except BuilderError:
        return name
