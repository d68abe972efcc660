"""Disk usage: what takes space in the state folder, and how to choose among it (`builder du`, `builder prune`)."""

from __future__ import annotations

import contextlib
import enum
import os
import re
from collections.abc import Callable, Iterable

import msgspec

from builder.errors import UsageError
from builder.store.builds import BuildState
from builder.store.disk import tree_size
from builder.store.images import Reachable
from builder.store.layers import LayerId
from builder.store.store import Store

_RECENT = 20  # builds among which running ones are looked for


class UsageType(enum.StrEnum):
    """Values of the filter `type`; those that BuildKit has too bear its names."""

    LAYER = "regular"
    GIT = "source.git.checkout"
    """A repository that git sources were fetched into."""
    CACHE_MOUNT = "exec.cachemount"
    LOCAL = "source.local"
    """What is remembered of a folder, a file or a URL."""
    BLOB = "blob"
    """A packed layer, a config or a manifest."""
    HISTORY = "history"
    """The record and the logs of a build."""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    type: UsageType
    id: str
    size: int
    """Bytes on disk."""
    created: float
    last_used: float
    """Seconds since the epoch; may be ten minutes behind."""
    in_use: bool = False
    """By a running build or a container."""
    shared: bool = False
    """A named image consists of it."""
    essential: bool = False
    """A local image needs it, and there is nothing else that it could be made from again."""
    description: str = ""
    seconds: float = 0.0
    """What it took to make it, as far as known."""

    @property
    def reclaimable(self) -> bool:
        """Whether `prune` takes it; with `--all` it takes what is shared, too."""
        return not self.in_use and not self.essential and not self.shared


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    size: int
    reclaimable: int
    """What `prune` takes: not in use, not essential, and of no named image."""
    shared: int


def du(store: Store, filters: Iterable[str] = ()) -> list[Usage]:
    """Everything that takes space and matches, largest first. Counts layers that were not counted yet."""
    wanted = parse_filters(filters)
    named, local = store.reachable(), store.reachable(local=True)
    rows = [*_layers(store, named, local), *_blobs(store, named, local), *_mounts(store), *_repositories(store),
            *_memories(store), *_builds(store)]
    return sorted((row for row in rows if wanted(row)), key=lambda row: (-row.size, row.id))


def totals(rows: Iterable[Usage]) -> Totals:
    rows = list(rows)
    return Totals(size=sum(row.size for row in rows), shared=sum(row.size for row in rows if row.shared),
                  reclaimable=sum(row.size for row in rows if row.reclaimable))


def parse_filters(filters: Iterable[str]) -> Callable[[Usage], bool]:
    """A test for rows: any of the filters must match, and of one filter all its comma-separated terms.

    A term is `field`, `field==value` (or `=`), `field!=value` or `field~=regex`, as in containerd's filter language.
    Fields: id, type, description, inuse, shared, private, mutable, immutable. Raises UsageError.
    """
    choices = [_parse_filter(text) for text in filters]
    if not choices:
        return lambda row: True
    return lambda row: any(all(term(row) for term in terms) for terms in choices)


_TERM = re.compile(r'\s*([A-Za-z]+)\s*(?:(==|!=|~=|=(?!=))\s*("(?:[^"\\]|\\.)*"|[^\s,"]+))?\s*(,|$)')
_FIELDS: dict[str, Callable[[Usage], str]] = {
    "id": lambda row: row.id,
    "type": lambda row: row.type.value,
    "description": lambda row: row.description,
    "inuse": lambda row: "true" if row.in_use else "",
    "shared": lambda row: "true" if row.shared else "",
    "private": lambda row: "" if row.shared else "true",
    "mutable": lambda row: "true" if row.type is UsageType.CACHE_MOUNT else "",
    "immutable": lambda row: "" if row.type is UsageType.CACHE_MOUNT else "true",
}


def _parse_filter(text: str) -> list[Callable[[Usage], bool]]:
    terms: list[Callable[[Usage], bool]] = []
    at, more = 0, True
    while more:
        found = _TERM.match(text, at)
        if found is None or found[1] not in _FIELDS:
            raise UsageError(f"`{text}` is not a filter",
                             hint=f"fields are {', '.join(_FIELDS)}; operators are =, != and ~=")
        terms.append(_term(text, _FIELDS[found[1]], found[2] or "", found[3] or ""))
        at, more = found.end(), found[4] == ","
    return terms


def _term(text: str, field: Callable[[Usage], str], operator: str, value: str) -> Callable[[Usage], bool]:
    if value.startswith('"'):
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    match operator:
        case "":
            return lambda row: field(row) != ""
        case "!=":
            return lambda row: field(row) != value
        case "~=":
            try:
                pattern = re.compile(value)
            except re.error as error:
                raise UsageError(f"`{text}` is not a filter", cause=str(error)) from None
            return lambda row: pattern.search(field(row)) is not None
        case _:
            return lambda row: (field(row) or "false") == value if value == "false" else field(row) == value


def _layers(store: Store, named: Reachable, local: Reachable) -> Iterable[Usage]:
    in_use = store.pinned()
    stored = store.db.rows("SELECT diff_id, digest FROM packed JOIN blobs USING(digest) "
                           "UNION SELECT digest, digest FROM blobs")  # an uncompressed layer's digest is its diff id
    packed = {diff_id for diff_id, digest in stored if digest in local.blobs}
    seconds: dict[str, float] = dict(store.db.rows(
        "SELECT layer, max(seconds) FROM records WHERE layer IS NOT NULL GROUP BY layer"))
    rows = store.db.rows("SELECT id, diff_id, created, used, description FROM layers")
    for id, diff_id, created, used, description in rows:
        yield Usage(type=UsageType.LAYER, id=id, size=store.layer_size(LayerId(id)), created=created, last_used=used,
                    in_use=f"layer {id}" in in_use, shared=diff_id in named.diff_ids, description=description,
                    essential=diff_id in local.diff_ids and diff_id not in packed, seconds=seconds.get(id, 0.0))


def _blobs(store: Store, named: Reachable, local: Reachable) -> Iterable[Usage]:
    in_use = store.pinned()
    for digest, size, created, used in store.db.rows("SELECT digest, size, created, used FROM blobs"):
        yield Usage(type=UsageType.BLOB, id=digest, size=size, created=created, last_used=used,
                    in_use=f"blob {digest}" in in_use, shared=digest in named.blobs, essential=digest in local.blobs)


def _repositories(store: Store) -> Iterable[Usage]:
    busy = any(build.state is BuildState.RUNNING for build in store.builds(_RECENT))
    with contextlib.suppress(FileNotFoundError), os.scandir(store.path("git")) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                info = entry.stat(follow_symlinks=False)
                yield Usage(type=UsageType.GIT, id=entry.name, size=tree_size(entry.path), created=info.st_ctime,
                            last_used=info.st_mtime, in_use=busy, description="a git repository")


def _mounts(store: Store) -> Iterable[Usage]:
    for mount in store.cache_mounts():
        yield Usage(type=UsageType.CACHE_MOUNT, id=mount.name, size=mount.size, created=mount.created,
                    last_used=mount.last_used, in_use=mount.in_use, description=f"cache mount {mount.id}")


def _memories(store: Store) -> Iterable[Usage]:
    with os.scandir(store.path("stat")) as entries:
        for entry in entries:
            info = entry.stat(follow_symlinks=False)
            yield Usage(type=UsageType.LOCAL, id=entry.name, size=tree_size(entry.path), created=info.st_ctime,
                        last_used=info.st_mtime, description="what is remembered of a folder, a file or a URL")


def _builds(store: Store) -> Iterable[Usage]:
    for build in store.builds():
        yield Usage(type=UsageType.HISTORY, id=build.id, size=tree_size(store.path("logs", build.id)),
                    created=build.started, last_used=build.ended or build.started,
                    in_use=build.state is BuildState.RUNNING, description=f"log of build {build.name}".rstrip())
