"""Fingerprints of files: xxh3-128, seeded with a secret of the store, remembered by what stat says.

They answer "is this the same content as last time" on one machine and never leave it: nothing exported or shared is
named by them. The secret keeps anyone who does not know it from making two contexts that collide. A file that changed
within the last RACY seconds is not remembered, for it could change again without a visible change of its ctime.
"""

from __future__ import annotations

import marshal
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import xxhash

from builder.context.local import Unreadable
from builder.errors import Cancelled
from builder.hashing import sha256
from builder.layer.copyfile import capability_of
from builder.layer.tree import Entry, shown

RACY = 2.0
"""Seconds: the coarsest time stamps of a common file system (FAT)."""

_FORMAT = 1
_PIECE = 1 << 20
_LARGE = 1 << 20
"""Files from this size on are hashed side by side."""
_WORKERS = 2
_WORTH_SAVING = 32
"""Newly hashed files (or MiB) of one directory that make writing its rows pay: reading them back costs as much."""
_SPARE_ROWS = 10_000
_MOST_NOTES = 256

_Row: TypeAlias = tuple[int, int, int, int, bytes]
"""size, mtime_ns, ctime_ns, inode, fingerprint"""


class Memory(Protocol):
    """Where rows outlive the process. Private to the store: what comes back is read with `marshal`."""

    def recall(self, name: str) -> bytes | None: ...

    def remember(self, name: str, data: bytes) -> None: ...


class Fingerprints:
    """Fingerprints the files of any trees, for one build; `save` keeps what it learnt for the next one.

    `secret` is the store's. Several threads may use one.
    """

    _kind = ""
    """What distinguishes the rows in the memory from those of other digests."""

    def __init__(self, secret: bytes, memory: Memory | None = None, *,
                 clock: Callable[[], int] = time.time_ns) -> None:
        key = sha256(b"builder fingerprints\n" + secret).digest()
        self._prefix = key
        self._seed = int.from_bytes(key[:8], "little")
        self._memory = memory
        self._clock = clock
        self._roots: dict[str, _Root] = {}
        self._notes: dict[str, dict[bytes, str]] = {}
        """By directory: what follows from which facts (their fingerprint)."""
        self._noted: set[str] = set()
        """Directories of which something is to be kept."""
        self._unasked: set[str] = set()
        """Directories whose rows were in use without having been asked for."""
        self._lock = threading.Lock()
        self.cancelled = threading.Event()
        """Set when the build ends early: hashing ends with Cancelled within a MiB."""

    def digests(self, entries: Sequence[Entry]) -> list[bytes]:
        """16 bytes for each of the regular files `entries`: equal for equal content and file capability.

        Raises Unreadable, Cancelled.
        """
        found: list[bytes] = []
        misses: list[int] = []
        files, root = None, None
        for position, entry in enumerate(entries):
            if root is None or entry.root is not files:
                files, root = entry.root, self._root(_base(entry))
            row = root.rows.get(entry.path)
            status = entry.stat
            if row is not None and row[:4] == _times(status):
                root.seen[entry.path] = row
                found.append(row[4])
            else:
                misses.append(position)
                found.append(b"")
        for position, digest in self._hash_all([(position, entries[position]) for position in misses]):
            found[position] = digest
        return found

    def recall(self, place: Entry, facts: bytes) -> str | None:
        """What was noted of these facts, in this build or an earlier one, below the tree of `place`."""
        directory = _base(place)
        digest = self._notes_of(directory).get(self._digest(facts))
        if digest is not None:
            self._unasked.add(directory)
        return digest

    def note(self, place: Entry, facts: bytes, digest: str, files: Sequence[Entry]) -> None:
        """Remembers `digest` for `facts`, which hold what stat says of `files`; not if one of them may change without
        that changing."""
        if all(self._root(_base(entry)).is_lasting(entry) for entry in files):
            directory = _base(place)
            self._notes_of(directory)[self._digest(facts)] = digest
            self._noted.add(directory)

    def save(self) -> None:
        """Keep the rows of directories where much was hashed; call it once, at the end. Raises StoreError."""
        if self._memory is None:
            return
        for directory in self._noted:
            notes = dict(list(self._notes[directory].items())[-_MOST_NOTES:])
            self._memory.remember(self._kind + "copies " + shown(directory), marshal.dumps((_FORMAT, notes)))
        for directory, root in self._roots.items():
            if root.hashed_files >= _WORTH_SAVING or root.hashed_bytes >= _WORTH_SAVING << 20:
                rows = root.lasting_rows(directory not in self._unasked)
                self._memory.remember(self._kind + shown(directory), marshal.dumps((_FORMAT, rows)))

    def forget(self, directory: str) -> None:
        """Drops what is known of files below a directory that is about to be removed."""
        with self._lock:
            for table in (self._roots, self._notes):
                for known in [known for known in table if known.startswith(directory)]:
                    del table[known]
                    self._noted.discard(known)

    def _root(self, directory: str) -> _Root:
        with self._lock:
            root = self._roots.get(directory)
            if root is None:
                root = self._roots[directory] = _Root(self._read(shown(directory)))
            return root

    def _notes_of(self, directory: str) -> dict[bytes, str]:
        with self._lock:
            notes = self._notes.get(directory)
            if notes is None:
                notes = self._notes[directory] = self._read("copies " + shown(directory))
            return notes

    def _read(self, name: str) -> dict[Any, Any]:
        """A table as saved; damage or another format only means that files are hashed again."""
        data = self._memory.recall(self._kind + name) if self._memory is not None else None
        if data is None:
            return {}
        try:
            version, table = marshal.loads(data)
        except (ValueError, EOFError, TypeError):
            return {}
        return table if version == _FORMAT and isinstance(table, dict) else {}

    def _hash_all(self, files: list[tuple[int, Entry]]) -> Iterator[tuple[int, bytes]]:
        large = [(position, entry) for position, entry in files if entry.stat.st_size >= _LARGE]
        for position, entry in files:
            if entry.stat.st_size < _LARGE or len(large) < 2:
                yield position, self._hash(entry)
        if len(large) > 1:
            yield from _side_by_side(self._hash, large)

    def _hash(self, entry: Entry) -> bytes:
        started = self._clock()
        status = entry.stat
        try:
            file = entry.open()
            try:
                digest = self._content_digest(file, status.st_size)
                if capability := capability_of(file):
                    digest = self._digest(digest + capability)
                after = os.fstat(file)
            finally:
                os.close(file)
        except OSError as error:
            raise Unreadable(entry.path, error) from error
        root = self._root(_base(entry))
        root.hashed_files += 1
        root.hashed_bytes += status.st_size
        if _times(after) == _times(status):
            row = (*_times(after), digest)
            root.rows[entry.path] = row
            if after.st_ctime_ns + RACY * 1e9 < started:
                root.seen[entry.path] = row
            else:
                root.racy.add(entry.path)
        return digest

    def _content_digest(self, file: int, size: int) -> bytes:
        if size < _LARGE:
            content = os.read(file, size + 1)
            if len(content) == size:
                return self._digest(content)
            os.lseek(file, 0, os.SEEK_SET)
        state = self._state()
        buffer = memoryview(bytearray(_PIECE))
        while count := os.readv(file, [buffer]):
            state.update(buffer[:count])
            if self.cancelled.is_set():
                raise Cancelled("cancelled while files were being read")
        return state.digest()

    def _digest(self, content: bytes) -> bytes:
        return xxhash.xxh3_128_digest(self._prefix + content, self._seed)

    def _state(self) -> _State:
        return xxhash.xxh3_128(self._prefix, self._seed)


class Sha256Digests(Fingerprints):
    """SHA-256 digests of files, which mean the same on every machine; remembered like fingerprints."""

    _kind = "sha256 "

    def __init__(self, memory: Memory | None = None) -> None:
        super().__init__(b"", memory)

    def _digest(self, content: bytes) -> bytes:
        return sha256(content).digest()

    def _state(self) -> _State:
        return sha256()


class _State(Protocol):
    def update(self, data: memoryview, /) -> None: ...

    def digest(self) -> bytes: ...


class _Root:
    """The rows of the files below one directory of this machine, by path below it."""

    def __init__(self, rows: dict[str, _Row]) -> None:
        self.rows = rows
        self.seen: dict[str, _Row] = {}
        """The rows that this build needed and that may be kept."""
        self.racy: set[str] = set()
        self.hashed_files = 0
        self.hashed_bytes = 0

    def is_lasting(self, entry: Entry) -> bool:
        """Whether the file's row is as stat says and may be kept."""
        row = self.seen.get(entry.path)
        return row is not None and row[:4] == _times(entry.stat) and entry.path not in self.racy

    def lasting_rows(self, all_asked: bool) -> dict[str, _Row]:
        """What to keep: everything, until rows of files that no build asks for any more outweigh the others.

        Only known if `all_asked`: the build asked for everything that it could use.
        """
        if all_asked and len(self.rows) > 2 * len(self.seen) + _SPARE_ROWS:
            return self.seen
        return {path: row for path, row in self.rows.items() if path not in self.racy}


def _base(entry: Entry) -> str:
    """The directory of this machine that the paths of the entry's tree begin at."""
    return entry.root.path.rstrip("/") + "/"


def _times(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _side_by_side(hash_file: Callable[[Entry], bytes], files: list[tuple[int, Entry]]) -> list[tuple[int, bytes]]:
    """Hash large files in a few threads; xxhash and read(2) run without the interpreter lock."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_WORKERS) as pool:
        digests = pool.map(hash_file, [entry for _, entry in files])
        return list(zip([position for position, _ in files], digests, strict=True))
