"""index.db: the schema, connections, transactions, and what SQLite's failures mean.

Readers never wait for writers (WAL). A write is one short transaction that takes the write lock when it begins, so it
cannot fail half-way because another process was quicker.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from builder.errors import StoreError
from builder.store.disk import StoreFull

_PATIENCE = 60.0  # seconds to wait for another process' transaction
_VERSION = 1
_SCHEMA = """
CREATE TABLE layers(
  id TEXT PRIMARY KEY, diff_id TEXT, content TEXT, size INTEGER, tar_size INTEGER,
  created REAL NOT NULL, used REAL NOT NULL, description TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX layers_by_diff_id ON layers(diff_id) WHERE diff_id IS NOT NULL;
CREATE INDEX layers_by_content ON layers(content) WHERE content IS NOT NULL;
CREATE TABLE blobs(
  digest TEXT PRIMARY KEY, size INTEGER NOT NULL, created REAL NOT NULL, used REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE packed(
  diff_id TEXT NOT NULL, compression TEXT NOT NULL, digest TEXT NOT NULL, descriptor BLOB NOT NULL,
  PRIMARY KEY(diff_id, compression)) WITHOUT ROWID;
CREATE INDEX packed_by_digest ON packed(digest);
CREATE TABLE records(
  key TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, layer TEXT, gone TEXT NOT NULL, parts TEXT NOT NULL,
  build TEXT NOT NULL, seconds REAL NOT NULL, created REAL NOT NULL, used REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX records_by_age ON records(kind, created);
CREATE INDEX records_by_layer ON records(layer) WHERE layer IS NOT NULL;
CREATE TABLE documents(hash TEXT PRIMARY KEY, data BLOB NOT NULL, refs TEXT NOT NULL);
CREATE TABLE images(
  name TEXT PRIMARY KEY, descriptor BLOB NOT NULL, origin TEXT NOT NULL, created REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE mounts(
  name TEXT PRIMARY KEY, id TEXT NOT NULL, created REAL NOT NULL, used REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE pins(owner TEXT NOT NULL, layer TEXT NOT NULL, PRIMARY KEY(owner, layer)) WITHOUT ROWID;
"""
Row = tuple[Any, ...]


class StoreDamaged(StoreError):
    code = "store-damaged"

    def __init__(self, path: str, cause: str) -> None:
        super().__init__(f"the index of the store is damaged: `{path}`", cause=cause,
                         notes=("blobs and layers are kept as files of their own",),
                         hint="`builder fsck --repair` makes a new index from them; only the step cache is lost")


class StoreBusy(StoreError):
    code = "store-busy"

    def __init__(self, path: str) -> None:
        super().__init__(f"another process keeps `{path}` locked",
                         hint="wait for it, or look for a builder process that is stopped")


class Database:
    """The index; usable from several threads at once. Each reader or writer takes an idle connection or opens one."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._path = os.path.join(root, "index.db")
        self._idle: list[sqlite3.Connection] = []

    def rows(self, sql: str, *values: object) -> list[Row]:
        connection = self.take()
        try:
            return connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise self.explain(error) from error
        finally:
            self.give_back(connection)

    def row(self, sql: str, *values: object) -> Row | None:
        found = self.rows(sql, *values)
        return found[0] if found else None

    def write(self) -> Transaction:
        """A transaction, committed when its block ends and undone when it raises."""
        return Transaction(self)

    def execute(self, sql: str, *values: object) -> int:
        """One statement as a transaction of its own; returns the number of rows it changed."""
        with self.write() as transaction:
            return transaction.execute(sql, *values)

    def check(self) -> str:
        """What SQLite's own integrity check says: "ok", or what is wrong."""
        return "; ".join(str(row[0]) for row in self.rows("PRAGMA quick_check(5)"))

    def close(self) -> None:
        """Closes all connections; none may be in use. The index may be used again afterwards."""
        while self._idle:
            with contextlib.suppress(sqlite3.Error):
                self._idle.pop().close()

    def take(self) -> sqlite3.Connection:
        """A connection that is the caller's alone until it is given back."""
        try:
            return self._idle.pop()
        except IndexError:
            return self._connect()

    def give_back(self, connection: sqlite3.Connection) -> None:
        self._idle.append(connection)

    def _connect(self) -> sqlite3.Connection:
        if not os.path.exists(self._path):
            create(self._path)
        try:
            connection = _open(self._path)
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.Error as error:
            raise self.explain(error) from error
        if version > _VERSION:
            connection.close()
            raise StoreError(f"`{self._path}` has version {version}, newer than this builder's {_VERSION}",
                             hint="use the newer builder, or another folder with `--root`")
        return connection

    def explain(self, error: sqlite3.Error) -> StoreError:
        """What to tell of a failure."""
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith("SQLITE_FULL"):
            return StoreFull(self._root, cause=str(error))
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return StoreBusy(self._path)
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or "no such " in str(error):
            return StoreDamaged(self._path, str(error))
        return StoreError(f"cannot use the index of the store: `{self._path}`", cause=f"{error} ({name})")


class Transaction:
    """BEGIN IMMEDIATE .. COMMIT on a connection of its own; not nested, it would wait for itself."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection = database.take()

    def execute(self, sql: str, *values: object) -> int:
        return self._connection.execute(sql, values).rowcount

    def many(self, sql: str, rows: Iterable[Iterable[object]]) -> None:
        self._connection.executemany(sql, [tuple(row) for row in rows])

    def rows(self, sql: str, *values: object) -> list[Row]:
        return self._connection.execute(sql, values).fetchall()

    def __enter__(self) -> Transaction:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            self._database.give_back(self._connection)
            raise self._database.explain(error) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        try:
            self._connection.execute("COMMIT" if error is None else "ROLLBACK")
        except sqlite3.Error as failure:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            if error is None:
                raise self._database.explain(failure) from failure
        finally:
            self._database.give_back(self._connection)
        if isinstance(error, sqlite3.Error):
            raise self._database.explain(error) from error


def create(path: str) -> None:
    """Makes an empty index at `path`, complete from the first moment; one that is there already stays."""
    scratch = f"{path}.{os.urandom(6).hex()}"
    try:
        connection = _open(scratch)
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={_VERSION};COMMIT;")
        connection.close()  # moves the log into the file, which is then whole by itself
        with contextlib.suppress(FileExistsError):
            os.link(scratch, path)
    except sqlite3.Error as error:
        raise StoreError(f"cannot make the index of the store: `{path}`", cause=str(error)) from error
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            with contextlib.suppress(OSError):
                os.unlink(scratch + suffix)


def _open(path: str) -> sqlite3.Connection:
    # A connection is used by one thread at a time, but not always by the same: hence no check_same_thread.
    connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False,
                                 cached_statements=256)
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection
