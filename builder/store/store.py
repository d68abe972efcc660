"""The Store: one handle on a state folder."""

from __future__ import annotations

import threading
from types import TracebackType

from builder.hashing import blake2b
from builder.store.builds import Builds
from builder.store.cachemounts import Mounts
from builder.store.images import Images
from builder.store.layout import open_layout, write_file
from builder.store.locks import Lock, named_lock
from builder.store.records import Records
from builder.store.state import reporting_full_disk


class Store(Records, Images, Mounts, Builds):
    """A handle on the state folder; a context manager, usable from several threads.

    Any number of handles, in any number of processes, may be open on one folder.
    """

    @classmethod
    def open(cls, root: str) -> Store:
        """Opens the state folder, which is made if it is not there. Raises StoreError for one that cannot be used."""
        return cls(open_layout(root))

    def lease(self) -> Lease:
        """For a `with` block: what this handle finds, uses or makes meanwhile is safe from GC until the block ends.

        Leases of one handle nest and overlap; all of its pins last until the last one ends. The lease of a process
        that died is void at once.
        """
        return Lease(self)

    def lock(self, name: str, cancelled: threading.Event | None = None) -> Lock:
        """An exclusive lock between all threads and processes that use this folder, for a `with` block.

        Waiting ends with Cancelled when the event is set. Its `acquire(wait=False)` tells whether it was free.
        """
        return named_lock(self.root, name, cancelled)

    def recall(self, name: str) -> bytes | None:
        """What was last saved under that name, or None."""
        path = self._memory_file(name)
        try:
            with open(path, "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def remember(self, name: str, data: bytes) -> None:
        """Keeps bytes under a name for the next build; they may be pruned at any time."""
        with reporting_full_disk(self.root):
            write_file(self._memory_file(name), data, sync=False)

    def sweep(self) -> int:
        """Removes what dead processes left in stage/, and waits for it; returns how many entries."""
        return self.session.sweep()

    def _memory_file(self, name: str) -> str:
        return self.path("stat", blake2b(name.encode(), digest_size=16).hexdigest())


class Lease:
    def __init__(self, store: Store) -> None:
        self._store = store

    def __enter__(self) -> Lease:
        self._store.session.lease()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._store.session.release()
        self._store.flush()
