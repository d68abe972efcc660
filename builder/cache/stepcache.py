"""The cache: from a key to the layer it stands for, and from a miss to its reason.

A lookup reads one row. The parts of a key are a document beside it. A `.list` in them may have a hundred thousand rows;
it is cut into pieces where the hash of a row's path says so: a list with one row changed shares all pieces but one with
the list before.
"""

from __future__ import annotations

import contextlib
import time
import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from builder.cache.key import LIST, CacheKey, Parts, decode, encode, key_of
from builder.hashing import blake2b
from builder.store import Store
from builder.store.layers import LayerId
from builder.store.records import Document, Record

if TYPE_CHECKING:
    from builder.cache.explain import Attempt

_PIECE_ROWS = 512  # on average
_SMALL_LIST = 64  # rows: shorter lists stay within the parts


class _Pieces(msgspec.Struct, frozen=True):
    """Stands for a list in a stored document."""

    pieces: tuple[str, ...]


class Cache:
    """The records of one store; usable from several threads."""

    def __init__(self, store: Store, *, max_age: float | None = None) -> None:
        """Records that were made more than `max_age` seconds before now are not taken."""
        self._store = store
        self._oldest = 0.0 if max_age is None else time.time() - max_age

    def lookup(self, key: CacheKey) -> Record | None:
        """The record of a key whose layer is there, and stays while a lease is held.

        A record whose layer was lost is a miss from then on.
        """
        record = self._store.get_record(key)
        if record is None or record.layer is None or record.created < self._oldest:
            return None
        if not self._store.has_layer(record.layer):
            self._store.forget_layer(record.layer, "damaged")
            return None
        return record

    def is_too_old(self, key: CacheKey) -> bool:
        """Whether the key would be found but for its age: what is made again then takes the place of the old."""
        record = self._store.get_record(key) if self._oldest else None
        return record is not None and record.layer is not None and record.created < self._oldest

    def save(self, key: CacheKey, kind: str, parts: Parts, layer: LayerId, *, name: str, build: str = "",
             seconds: float = 0.0) -> None:
        """Notes what the key stands for, in place of what it stood for before."""
        documents, root = self._documents(parts)
        self._store.put_record(Record(key=key, kind=kind, name=name, layer=layer, parts=root, build=build,
                                      seconds=seconds), documents)

    def save_attempt(self, key: CacheKey, kind: str, parts: Parts, *, name: str, build: str, gone: str,
                     seconds: float) -> None:
        """Notes a step that came to nothing, because it `failed` or was `interrupted`: a later miss reason names it.

        What the key stands for stays, if there is something.
        """
        record = self._store.get_record(key)
        if record is None or record.layer is None:
            documents, root = self._documents(parts)
            self._store.put_record(Record(key=key, kind=kind, name=name, layer=None, gone=gone, parts=root, build=build,
                                          seconds=seconds), documents)

    def explain(self, kind: str, parts: Parts, attempts: Sequence[Attempt] = ()) -> str:
        """Why `lookup` found nothing, in words for people: `build arg VERSION changed "1.2" -> "1.3"`.

        `attempts` are earlier builds of the step, the one to compare with first.
        """
        from builder.cache.explain import UNKNOWN, Earlier, explain, gone

        key = key_of(kind, parts)
        if self.is_too_old(key):
            return "its earlier result is older than --cache-ttl allows"
        latest = attempts[0] if attempts else None
        own = self._store.get_record(key)
        if own is not None and own.layer is None:
            return gone(own.gone, last=latest is not None and latest.key == key)
        if latest is None:
            return UNKNOWN
        if latest.key == key:
            return f"{latest.ended}, and nothing changed since" if latest.ended else "its earlier result is not kept"
        records = (record for attempt in attempts if (record := self._store.get_record(attempt.key)) is not None)
        compared = next(records, None)
        reason = explain(parts, Earlier(self.parts(compared) if compared is not None else {}, self.rows))
        return f"{latest.ended}; {reason}" if latest.ended else reason

    def earlier(self, kind: str, name: str, limit: int) -> list[Record]:
        """The latest records of vertices of one kind and name, whatever their keys."""
        return self._store.recent_records(kind, limit, name)

    def parts(self, record: Record) -> Parts:
        """The parts of a record's key, long lists as references for `rows`; {} if they are lost."""
        data = self._document(record.parts)
        parts = decode(data) if data else {}
        return parts if isinstance(parts, dict) else {}

    def rows(self, value: Any) -> list[Any] | None:
        """A list as `parts` returned it, with all its rows; None if they are lost."""
        if not isinstance(value, dict):
            return value if isinstance(value, list) else None
        rows: list[Any] = []
        for piece in value.get("pieces", ()):
            data = self._document(piece)
            if data is None:
                return None
            rows += decode(data)
        return rows

    def _document(self, hash: str) -> bytes | None:
        data = self._store.get_document(hash) if hash else None
        with contextlib.suppress(zlib.error):
            return None if data is None else zlib.decompress(data)
        return None

    def _documents(self, parts: Parts) -> tuple[list[Document], str]:
        """What has to be stored for the parts, and the hash of their document."""
        pieces: dict[str, bytes] = {}
        short = dict(parts)
        for name, value in parts.items():
            if name.endswith(LIST) and len(value) > _SMALL_LIST:
                found = [(_hash(data), data) for data in map(encode, _cut(value))]
                short[name] = _Pieces(tuple(hash for hash, _ in found))
                pieces.update(found)
        encoded = encode(short)
        root = _hash(encoded)
        new = self._store.missing_documents([root, *pieces])
        documents = [Document(hash, zlib.compress(data, 1)) for hash, data in pieces.items() if hash in new]
        if root in new:
            documents.append(Document(root, zlib.compress(encoded, 1), tuple(pieces)))
        return documents, root


def _cut(rows: list[Any]) -> Iterator[list[Any]]:
    """Pieces of the list that begin and end at the same paths whatever else is in the list."""
    start = 0
    for at, row in enumerate(rows):
        if at > start and zlib.crc32(str(row[0]).encode("utf-8", "surrogatepass")) % _PIECE_ROWS == 0:
            yield rows[start:at]
            start = at
    yield rows[start:]


def _hash(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()
