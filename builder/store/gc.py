"""Garbage collection: the only deleter.

What may go is chosen from a list (`usage.du`) that is old by the time it is used. So each removal looks again, while it
excludes all commits and pins: what is pinned by then stays. Rows go first, in one transaction, then the files move into
the trash, then the trash is emptied at leisure; a crash in between leaves files without rows, which the next run finds.

Policies and their defaults are BuildKit's (docs/buildkitd.toml, `[[worker.oci.gcpolicy]]`). The order differs: where
space is short, first goes what is cheapest to have again for its size and age (GreedyDual-Size).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence

import msgspec

from builder.oci import DiffID, Digest
from builder.store import trace
from builder.store.database import Transaction
from builder.store.disk import free_space
from builder.store.layers import LayerId
from builder.store.layout import RESERVE_SIZE, fill_reserve, use_reserve
from builder.store.store import Store
from builder.store.usage import Usage, UsageType, du, parse_filters

DAY = 86400.0
_BATCH = 256
_NORMAL_PAUSE, _SHORT_PAUSE = 3600.0, 60.0
_BANDWIDTH = 50e6  # bytes a second at which something is thought to be fetched or packed again
_KEPT_RECORDS = 20_000
_KEPT_GONE = 30 * DAY
_ROW_OF = {UsageType.LAYER: ("layers", "id"), UsageType.BLOB: ("blobs", "digest"),
           UsageType.CACHE_MOUNT: ("mounts", "name")}
_FOLDER_OF = {UsageType.LAYER: "layers", UsageType.BLOB: "blobs/sha256", UsageType.CACHE_MOUNT: "mounts",
              UsageType.GIT: "git", UsageType.LOCAL: "stat", UsageType.HISTORY: "logs"}


class PrunePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What to keep. Without a space limit, everything that matches and is old enough goes."""

    filters: tuple[str, ...] = ()
    all: bool = False
    """Also pulled images, and unpacked layers of local images where blobs have the same content."""
    keep_duration: float = 0.0
    """Seconds: what was used since is kept."""
    reserved_space: int = 0
    """Bytes that are always allowed, whatever the other limits say (Docker's older `--keep-storage`)."""
    max_used_space: int = 0
    min_free_space: int = 0


class PruneReport(msgspec.Struct, frozen=True, kw_only=True):
    removed: tuple[Usage, ...] = ()
    freed: int = 0
    """Bytes on disk of what was removed."""


def default_policies(total_space: int) -> tuple[PrunePolicy, ...]:
    """For a disk of that many bytes: caches of sources and mounts first, then what is old, then down to the limits."""
    reserved = min(total_space // 10, 10 * 10**9)
    limit = min(total_space * 8 // 10, 100 * 10**9)
    free = total_space // 5
    sources = ("type==source.local", "type==exec.cachemount", "type==source.git.checkout")
    return (
        PrunePolicy(filters=sources, keep_duration=2 * DAY, max_used_space=512 * 10**6),
        PrunePolicy(keep_duration=60 * DAY, reserved_space=reserved, max_used_space=limit, min_free_space=free),
        PrunePolicy(reserved_space=reserved, max_used_space=limit, min_free_space=free),
        PrunePolicy(all=True, reserved_space=reserved, max_used_space=limit, min_free_space=free),
    )


def prune(store: Store, policy: PrunePolicy) -> PruneReport:
    """Removes what the policy does not keep, but for what a running build, a container or an image needs."""
    if free_space(store.root)[1] < RESERVE_SIZE:
        use_reserve(store.root)
    with store.lock("gc"):
        return _collect(store, (policy,))


def gc(store: Store, policies: Sequence[PrunePolicy] | None = None, *, force: bool = False) -> PruneReport:
    """Keeps the folder within its limits: applies the policies one after another. Cheap where nothing is to do.

    Looks closely at most once an hour, or once a minute while the disk is short of space, or when forced.
    """
    total, free = free_space(store.root)
    if policies is None:
        policies = default_policies(total)
    if not force and not _is_due(store, short=any(free < policy.min_free_space for policy in policies)):
        return PruneReport()
    lock = store.lock("gc")
    if not lock.acquire(wait=False):
        return PruneReport()  # somebody else is at it
    try:
        return _collect(store, policies)
    finally:
        lock.release()


def drop_failed_layers(store: Store, kept: int = 5) -> None:
    """Removes what failed steps left behind, but for the latest `kept` ones."""
    rows = store.db.rows("SELECT id, created, used FROM layers WHERE content LIKE 'failed %' "
                         "ORDER BY created DESC LIMIT -1 OFFSET ?", kept)
    if rows:
        _remove(store, [Usage(type=UsageType.LAYER, id=id, size=0, created=created, last_used=used)
                        for id, created, used in rows], store.reachable(local=True).diff_ids)


def collect_leftovers(store: Store) -> int:
    """Removes what has no row, what dead processes left, and blobs put aside as damaged; returns how many."""
    with store.session.deleting():
        damaged = [store.path("damaged", name) for name in os.listdir(store.path("damaged"))]
        trash = [store.session.throw_away(path) for path in orphans(store) + damaged]
    store.session.remove_all(trash)
    return len(trash) + store.sweep()


def orphans(store: Store) -> list[str]:
    """Paths of layers, blobs and cache mounts that have no row. Call it under `session.deleting`."""
    found = []
    for folder, sql in (("layers", "SELECT id FROM layers"), ("mounts", "SELECT name FROM mounts"),
                        ("blobs/sha256", "SELECT substr(digest, 8) FROM blobs")):
        known = {row[0] for row in store.db.rows(sql)}
        found += [store.path(folder, name) for name in sorted(os.listdir(store.path(folder))) if name not in known]
    return found


def bytes_to_keep(policy: PrunePolicy, used: int, free: int) -> int | None:
    """How much may stay of what is `used`; None without a limit. As BuildKit's calculateKeepBytes reads the limits."""
    if not (policy.max_used_space or policy.reserved_space or policy.min_free_space):
        return None
    keep = policy.max_used_space
    missing = policy.min_free_space - free
    if missing > 0:
        keep = min(keep, used - missing) if keep else used - missing
    elif policy.min_free_space and not keep:
        keep = used
    return max(keep, policy.reserved_space)


def _collect(store: Store, policies: Sequence[PrunePolicy]) -> PruneReport:
    collect_leftovers(store)
    local = store.reachable(local=True).diff_ids
    rows, removed = du(store), list[Usage]()
    for policy in policies:
        gone = set(_prune(store, policy, rows, local))
        removed += gone
        rows = [row for row in rows if row not in gone]
    _forget_old_records(store)
    store.db.rows("PRAGMA incremental_vacuum")
    if free_space(store.root)[1] > 2 * RESERVE_SIZE:
        fill_reserve(store.root)
    return PruneReport(removed=tuple(removed), freed=sum(row.size for row in removed))


def _prune(store: Store, policy: PrunePolicy, rows: list[Usage], local: set[DiffID]) -> list[Usage]:
    """Removes what the policy does not keep of the rows; `local` is what local images needed when they were listed."""
    used = sum(row.size for row in rows if not row.shared)
    keep = bytes_to_keep(policy, used, free_space(store.root)[1])
    victims = _victims(rows, policy)
    if keep is not None:
        victims = _least_worth(victims, used - keep)
    removed: list[Usage] = []
    for start in range(0, len(victims), _BATCH):
        removed += _remove(store, victims[start:start + _BATCH], local)
    return removed


def _victims(rows: Iterable[Usage], policy: PrunePolicy) -> list[Usage]:
    matches, oldest = parse_filters(policy.filters), time.time() - policy.keep_duration
    return [row for row in rows
            if not row.in_use and not row.essential and (policy.all or not row.shared) and matches(row)
            and not (policy.keep_duration and row.last_used > oldest)]


def _least_worth(rows: list[Usage], excess: int) -> list[Usage]:
    """As few of the rows as give `excess` bytes back, the least worth keeping first."""
    now = time.time()

    def worth(row: Usage) -> float:
        cost = row.seconds + row.size / _BANDWIDTH
        return cost / (row.size + 4096) / (max(now - row.last_used, 0) + 3600)

    chosen = []
    for row in sorted(rows, key=worth):
        if excess <= 0:
            break
        chosen.append(row)
        excess -= row.size
    return chosen


def _remove(store: Store, rows: list[Usage], local: set[DiffID]) -> list[Usage]:
    """Removes those that still may go, and returns them."""
    with store.session.deleting():
        needed, pinned = store.reachable(local=True), store.pinned()
        new = needed.diff_ids - local
        going = [row for row in rows if _may_go(store, row, pinned, needed.blobs, new)]
        paths = _remove_rows(store, going)
        trace.point("rows-pruned")
        trash = [store.session.throw_away(path) for path in paths]
    trace.point("files-pruned")
    store.session.remove_all(trash)
    return going


def _may_go(store: Store, row: Usage, pinned: set[str], needed: set[Digest], new: set[DiffID]) -> bool:
    match row.type:
        case UsageType.CACHE_MOUNT:
            return not store.is_mount_used(row.id)
        case UsageType.BLOB:
            return f"blob {row.id}" not in pinned and row.id not in needed
        case UsageType.LAYER:
            found = store.db.row("SELECT diff_id FROM layers WHERE id=?", row.id)
            return found is not None and f"layer {row.id}" not in pinned and found[0] not in new
        case _:
            return True


def _remove_rows(store: Store, rows: list[Usage]) -> list[str]:
    """Removes the rows, and returns the paths of what they stood for."""
    gone, paths = {row.id for row in rows}, [_path(store, row) for row in rows]
    nameless = [image.name for image in store.images() if image.descriptor.digest in gone]
    with store.db.write() as transaction:
        for row in rows:
            if row.type in _ROW_OF:
                table, column = _ROW_OF[row.type]
                transaction.execute(f"DELETE FROM {table} WHERE {column}=?", row.id)
            if row.type is UsageType.LAYER:
                _forget_records(transaction, row.id)
            if row.type is UsageType.BLOB:
                for layer in _only_in_blob(store, transaction, row.id):
                    _forget_records(transaction, layer)
                    transaction.execute("DELETE FROM layers WHERE id=?", layer)
                    paths.append(store.path("layers", layer))
        transaction.many("DELETE FROM images WHERE name=?", [(name,) for name in nameless])
    if nameless:
        store.write_index()
    return paths


def _forget_records(transaction: Transaction, layer: str) -> None:
    transaction.execute("UPDATE records SET layer=NULL, gone='pruned' WHERE layer=?", layer)


def _only_in_blob(store: Store, transaction: Transaction, digest: str) -> list[LayerId]:
    """Layers that are gone with the blob: those that were never unpacked, and that no other blob packs."""
    rows = transaction.rows("SELECT id FROM layers JOIN packed USING(diff_id) WHERE digest=? AND diff_id NOT IN "
                            "(SELECT diff_id FROM packed JOIN blobs USING(digest))", digest)
    return [layer for (layer,) in rows if not store.is_unpacked(layer)]


def _path(store: Store, row: Usage) -> str:
    return store.path(_FOLDER_OF[row.type], row.id.removeprefix("sha256:"))


def _forget_old_records(store: Store) -> None:
    """Drops records that no longer help to explain anything, and documents that no record mentions."""
    with store.db.write() as transaction:
        transaction.execute("DELETE FROM records WHERE layer IS NULL AND used < ?", time.time() - _KEPT_GONE)
        transaction.execute("DELETE FROM records WHERE key IN (SELECT key FROM records "
                            "ORDER BY layer IS NULL, used DESC LIMIT -1 OFFSET ?)", _KEPT_RECORDS)
        transaction.execute("DELETE FROM packed WHERE digest NOT IN (SELECT digest FROM blobs)")
        roots = {row[0] for row in transaction.rows("SELECT DISTINCT parts FROM records")}
        refs = transaction.rows("SELECT hash, refs FROM documents WHERE refs != ''")
        kept = roots.union(*(text.split() for hash, text in refs if hash in roots))
        gone = [row for row in transaction.rows("SELECT hash FROM documents") if row[0] not in kept]
        transaction.many("DELETE FROM documents WHERE hash=?", gone)


def _is_due(store: Store, *, short: bool) -> bool:
    """Whether the last close look is long enough ago; if so, notes that one begins now."""
    stamp = store.path("locks", "gc-stamp")
    try:
        age = time.time() - os.stat(stamp).st_mtime
    except FileNotFoundError:
        age = _NORMAL_PAUSE
    if 0 <= age < (_SHORT_PAUSE if short else _NORMAL_PAUSE):
        return False
    with open(stamp, "wb"):
        os.utime(stamp)
    return True


