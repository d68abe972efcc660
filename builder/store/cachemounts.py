"""Cache mounts: directories that steps fill and find again, by id.

mounts/<name>/ holds `data` and `lock`; <name> is a hash of the id, with -1, -2, ... for the copies that steps with
private mounts use at the same time. A user of a mount keeps `lock` locked, shared or exclusively; GC removes only what
nobody has locked.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple

import msgspec

from builder.hashing import blake2b
from builder.layer.tree import shown
from builder.plan.vertices import Sharing
from builder.store import trace
from builder.store.disk import tree_size
from builder.store.locks import Lock, is_locked
from builder.store.state import State, raise_if_full


class MountInfo(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    id: str
    path: str
    size: int
    created: float
    last_used: float
    in_use: bool


class CacheId(NamedTuple):
    """What a cache mount is found by: caches that differ in any part are different ones."""

    id: str
    origin: tuple[str, ...] = ()
    """What a new one begins with: a path and the layers that it is in; () for nothing."""
    made: str = ""
    """The owner and mode of a new one, where they were asked for."""

    @property
    def shown(self) -> str:
        """For people; two caches may look alike."""
        text = f"{self.id}@{','.join(self.origin[1:])}{self.origin[0]}" if self.origin else self.id
        return shown(f"{text} owner={self.made}" if self.made else text)

    @property
    def folder(self) -> str:
        """The name of its folder. The id alone names one that begins empty; parts are framed, so that no text of one
        can pass for others.
        """
        if not self.origin and not self.made:
            return blake2b(os.fsencode(self.id), digest_size=10).hexdigest()
        parts = (os.fsencode(part) for part in (self.id, self.made, *self.origin))
        return blake2b(b"".join(b"%d:%b" % (len(part), part) for part in parts), digest_size=10,
                       person=b"parts").hexdigest()


class CacheMountDir:
    """A cache mount in use; a context manager, until whose end GC and conflicting users keep away."""

    def __init__(self, path: str, lock: Lock) -> None:
        self.path = path
        self._lock = lock

    def __enter__(self) -> CacheMountDir:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._lock.release()


class Mounts(State):
    def cache_mount(
        self,
        id: CacheId | str,
        *,
        sharing: Sharing = Sharing.SHARED,
        fill: Callable[[str], None] | None = None,
        cancelled: threading.Event | None = None,
    ) -> CacheMountDir:
        """The mount's directory, for a `with` block; a new one is empty, 0755, and `fill` may prepare it first. A text
        as `id` is one without any origin.

        A step that names one id twice takes it once: a locked mount waits for itself. Raises Cancelled while it waits.
        """
        id = CacheId(id) if isinstance(id, str) else id
        base = id.folder
        copy = 0
        while True:
            name = f"{base}-{copy}" if copy else base
            lock = Lock(self.path("mounts", name, "lock"), cancelled=cancelled,
                        exclusive=sharing is not Sharing.SHARED)
            try:
                taken = lock.acquire(wait=sharing is not Sharing.PRIVATE)
            except FileNotFoundError:
                self._make(name, id, fill)
                continue
            if not taken:
                copy += 1
            elif self._keep(name, id, lock):
                return CacheMountDir(self.path("mounts", name, "data"), lock)

    def cache_mounts(self) -> list[MountInfo]:
        """All of them with their sizes, which are counted now."""
        found = []
        for name, id, created, used in self.db.rows("SELECT name, id, created, used FROM mounts ORDER BY id, name"):
            path = self.path("mounts", name)
            found.append(MountInfo(name=name, id=id, path=os.path.join(path, "data"), created=created, last_used=used,
                                   size=tree_size(path), in_use=self.is_mount_used(name)))
        return found

    def is_mount_used(self, name: str) -> bool:
        """Whether a step uses the mount of that name (not id) now."""
        return is_locked(self.path("mounts", name, "lock"))

    def remove_cache_mount(self, id: str) -> int:
        """Removes the mount and its copies but for those in use; returns how many."""
        names = [row[0] for row in self.db.rows("SELECT name FROM mounts WHERE id=?", id)]
        trash = []
        with self.session.deleting():
            for name in names:
                if not self.is_mount_used(name):
                    self.db.execute("DELETE FROM mounts WHERE name=?", name)
                    trash.append(self.session.throw_away(self.path("mounts", name)))
        self.session.remove_all(trash)
        return len(trash)

    def _keep(self, name: str, id: CacheId, lock: Lock) -> bool:
        """Whether the mount that was just locked is still there, which it then is until it is unlocked; notes the use.

        It may have been removed in between, by who had seen that nobody used it.
        """
        trace.point("mount-locked")
        with self.session.committing():
            if not lock.is_current():
                lock.release()
                return False
            row = self.db.row("SELECT used FROM mounts WHERE name=?", name)
            if row is None:
                now = time.time()
                self.db.execute("INSERT OR IGNORE INTO mounts VALUES(?,?,?,?)", name, id.shown, now, now)
        if row is not None:
            self._touch("mount", name, row[0])
        return True

    def _make(self, name: str, id: CacheId, fill: Callable[[str], None] | None) -> None:
        folder = self.session.new_folder()
        try:
            data = os.path.join(folder, "data")
            with open(os.path.join(folder, "lock"), "w", encoding="utf-8") as file:
                file.write(id.shown)  # for when the index is lost
            os.mkdir(data)
            os.chmod(data, 0o755)
            if fill is not None:
                fill(data)
            with self.session.committing():
                _rename_unless_there(folder, self.path("mounts", name))
        except BaseException as error:
            raise_if_full(self.root, error)
            raise
        finally:
            self.session.remove_later(folder)


def _rename_unless_there(folder: str, target: str) -> None:
    """Leaves both alone where another process or thread has made `target` meanwhile."""
    try:
        os.rename(folder, target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
