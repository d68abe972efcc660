"""Records: which layer a cache key stands for, and the documents that tell how the key came about.

A lookup reads one row. What explains a key lies beside it in *documents*: byte strings named by their hash, stored once
however many records refer to them, which may refer to further documents. Their encoding is `builder.cache`'s matter.
A record outlives its layer for a while (`gone` says why it went), so that a later miss can be explained.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import msgspec

from builder.store import trace
from builder.store.database import Row
from builder.store.layers import LayerId, Layers


class Record(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    kind: str
    """The kind of vertex: `run`, `copy`, ..."""
    name: str
    """What people see: `RUN make`. Explanations prefer records of the same name."""
    layer: LayerId | None
    """None when the layer is no more."""
    gone: str = ""
    """Why: `pruned` or `damaged`; "" while there is a layer."""
    parts: str = ""
    """Hash of the document that tells the key's parts; "" for none."""
    build: str = ""
    """The build that made it."""
    seconds: float = 0.0
    """How long the step took."""
    created: float = 0.0
    """Seconds since the epoch; set by `put_record`."""


class Document(msgspec.Struct, frozen=True):
    hash: str
    data: bytes
    refs: tuple[str, ...] = ()
    """Hashes of the documents that this one mentions: they live as long as it does."""


_FIELDS = Record.__struct_fields__
_COLUMNS = ", ".join(_FIELDS)


class Records(Layers):
    def get_record(self, key: str) -> Record | None:
        """The record of a key, whether its layer is there or not (ask `has_layer`)."""
        row = self.db.row(f"SELECT {_COLUMNS}, used FROM records WHERE key=?", key)
        if row is None:
            return None
        self._touch("record", key, row[-1])
        return _record(row[:-1])

    def put_record(self, record: Record, documents: Iterable[Document] = ()) -> None:
        """Stores the record in place of an earlier one of its key, and such documents as are not there yet."""
        now = time.time()
        trace.point("record-put")
        with self.db.write() as transaction:
            transaction.many("INSERT OR IGNORE INTO documents VALUES(?,?,?)",
                             [(d.hash, d.data, " ".join(d.refs)) for d in documents])
            transaction.execute(f"INSERT OR REPLACE INTO records({_COLUMNS}, used) VALUES(?,?,?,?,?,?,?,?,?,?)",
                                record.key, record.kind, record.name, record.layer, record.gone, record.parts,
                                record.build, record.seconds, now, now)

    def recent_records(self, kind: str, limit: int, name: str = "") -> list[Record]:
        """Records of one kind, newest first, with or without a layer; of one name if given."""
        where, values = ("kind=? AND name=?", (kind, name)) if name else ("kind=?", (kind,))
        newest = f"SELECT {_COLUMNS} FROM records WHERE {where} ORDER BY created DESC LIMIT ?"
        return [_record(row) for row in self.db.rows(newest, *values, limit)]

    def forget_layer(self, layer: LayerId, why: str) -> None:
        """Marks the records of a layer as gone, and removes its row: for a layer found damaged or missing."""
        with self.db.write() as transaction:
            transaction.execute("UPDATE records SET layer=NULL, gone=? WHERE layer=?", why, layer)
            transaction.execute("DELETE FROM layers WHERE id=?", layer)

    def get_document(self, hash: str) -> bytes | None:
        row = self.db.row("SELECT data FROM documents WHERE hash=?", hash)
        return None if row is None else bytes(row[0])

    def missing_documents(self, hashes: Iterable[str]) -> set[str]:
        """Those of the hashes that no stored document has, so that only new ones need to be made."""
        wanted = set(hashes)
        ordered = sorted(wanted)
        for start in range(0, len(ordered), 500):
            some = ordered[start:start + 500]
            marks = ",".join("?" * len(some))
            wanted -= {row[0] for row in self.db.rows(f"SELECT hash FROM documents WHERE hash IN ({marks})", *some)}
        return wanted


def _record(row: Row) -> Record:
    return Record(**dict(zip(_FIELDS, row, strict=True)))
