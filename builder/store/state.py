"""What the parts of a Store have in common: the folder, the index and the session of this handle."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Final, TypeVar

from builder.errors import StoreError
from builder.store.database import Database
from builder.store.disk import StoreFull, is_full
from builder.store.layout import Layout
from builder.store.session import Session

_FRESH = 600.0  # seconds: a `used` time younger than this is not written again, so a no-op build writes none
_TABLES = {"layer": ("layers", "id"), "blob": ("blobs", "digest"), "record": ("records", "key"),
           "mount": ("mounts", "name")}
T = TypeVar("T", bound="State")


class State:
    def __init__(self, layout: Layout) -> None:
        self.root = layout.root
        self.secret = layout.secret
        """Seeds fingerprints of local files, so that no context can be made to collide."""
        self.xattr_prefix: Final = layout.xattr_prefix
        """`trusted` or `user`: the namespace of the overlayfs attributes in the layers."""
        self.db = Database(layout.root)
        """For this package alone, as is `session`."""
        self.session = Session(layout.root)
        self._touched: dict[tuple[str, str], float] = {}  # (kind, item) -> time
        self._touch_mutex = threading.Lock()

    def path(self, *names: str) -> str:
        return os.path.join(self.root, *names)

    def _use(self, kind: str, item: str) -> bool:
        """Whether the layer or blob has a row; notes the use, and pins it where this handle has a lease."""
        table, column = _TABLES[kind]
        sql = f"SELECT used FROM {table} WHERE {column}=?"
        row = self.db.row(sql, item)
        if row is None:
            return False
        self._touch(kind, item, row[0])
        pin = f"{kind} {item}"
        if self.session.leases and not self.session.is_pinned(pin):
            with self.session.committing():
                with reporting_full_disk(self.root):
                    self.session.pin(pin)
                return self.db.row(sql, item) is not None
        return True

    def _touch(self, kind: str, item: str, used: float) -> None:
        now = time.time()
        if now - used > _FRESH:
            with self._touch_mutex:
                self._touched[kind, item] = now

    def flush(self) -> None:
        """Writes the `used` times noted so far; done when a lease ends and on close."""
        with self._touch_mutex:
            touched, self._touched = self._touched, {}
        if not touched:
            return
        # On a full disk, say. These figures only guide GC, so no build fails for it.
        with contextlib.suppress(StoreError), self.db.write() as transaction:
            for (kind, item), now in touched.items():
                table, column = _TABLES[kind]
                transaction.execute(f"UPDATE {table} SET used=? WHERE {column}=?", now, item)

    def close(self) -> None:
        """Writes what is noted, ends the session with all it has pinned, and closes the index."""
        try:
            self.flush()
        finally:
            self.session.close()
            self.db.close()

    def __enter__(self: T) -> T:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def raise_if_full(root: str, error: BaseException | None) -> None:
    """Raises StoreFull in place of a system error that says so."""
    if is_full(error):
        raise StoreFull(root, cause=str(error)) from error


@contextlib.contextmanager
def reporting_full_disk(root: str) -> Iterator[None]:
    """Makes a StoreFull of a system error that says so."""
    try:
        yield
    except OSError as error:
        raise_if_full(root, error)
        raise
