"""Blobs: files named by the sha256 of their content, written once and verified when read."""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from builder.errors import ImageError, StoreError
from builder.hashing import sha256
from builder.oci import Digest, digest_of, parse_digest
from builder.store import trace
from builder.store.session import Session
from builder.store.state import State, raise_if_full, reporting_full_disk

_CHUNK = 1 << 20
Buffer = bytes | bytearray | memoryview


class BlobMissing(StoreError):
    code = "blob-missing"

    def __init__(self, digest: str) -> None:
        super().__init__(f"the store has no blob `{digest}`")


class BlobDamaged(StoreError):
    """A stored blob is not what its name says; it was moved aside, so the next one to need it gets it anew."""

    code = "blob-damaged"

    def __init__(self, digest: str, found: str) -> None:
        super().__init__(f"blob `{digest}` in the store is damaged", cause=f"its content has digest {found}",
                         hint="run the build again: the blob was moved aside and will be created or fetched again")


class DigestMismatch(ImageError):
    code = "digest-mismatch"

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"the content is not what its digest says: expected {expected}, found {found}")


class Blobs(State):
    def has_blob(self, digest: Digest) -> bool:
        """Whether the blob is stored. Under a lease it stays until the lease ends."""
        return self._use("blob", digest) and os.path.exists(self.blob_path(digest))

    def blob_path(self, digest: Digest) -> str:
        """Where the blob is or would be. Reading the file directly skips verification."""
        return blob_path(self.root, digest)

    def blob_size(self, digest: Digest) -> int:
        """Raises BlobMissing."""
        try:
            return os.stat(self.blob_path(digest)).st_size
        except FileNotFoundError:
            raise BlobMissing(digest) from None

    def open_blob(self, digest: Digest) -> VerifyingReader:
        """A reader that proves the content: at the end of file it raises BlobDamaged if it was not what was asked for.

        Raises BlobMissing. The reader closes it.
        """
        if not self._use("blob", digest):
            raise BlobMissing(digest)
        try:
            file = io.FileIO(self.blob_path(digest))
        except FileNotFoundError:
            raise BlobMissing(digest) from None
        return VerifyingReader(file, digest, self.set_aside)

    def read_blob(self, digest: Digest) -> bytes:
        """The whole verified content; for documents, not for layers. Raises BlobMissing, BlobDamaged."""
        with self.open_blob(digest) as reader:
            return reader.read()

    def put_blob(self, data: bytes) -> Digest:
        """Stores the bytes. Idempotent: returning means the blob is stored, not that this call wrote it."""
        digest = digest_of(data)
        if self.has_blob(digest):
            return digest
        with self.stage_blob() as staged:
            staged.file.write(data)
            return staged.commit(digest)

    def stage_blob(self) -> StagedBlob:
        """A blob to be written, for a `with` block; without `commit` nothing remains of it."""
        with reporting_full_disk(self.root):
            return StagedBlob(self, self.session)

    def _add_blob(self, path: str, digest: Digest, size: int) -> None:
        now = time.time()
        with self.session.committing():
            self.session.pin(f"blob {digest}")
            os.rename(path, self.blob_path(digest))
            trace.point("blob-renamed")
            self.db.execute("INSERT INTO blobs VALUES(?,?,?,?) ON CONFLICT DO UPDATE SET used=excluded.used",
                             digest, size, now, now)
        trace.point("blob-committed")

    def set_aside(self, digest: Digest, found: str) -> BlobDamaged:
        """Takes a blob whose content has another digest out of the store; returns the error to raise."""
        with self.session.deleting():
            self.db.execute("DELETE FROM blobs WHERE digest=?", digest)
            with contextlib.suppress(FileNotFoundError):
                os.rename(self.blob_path(digest), self.path("damaged", digest.partition(":")[2]))
        return BlobDamaged(digest, found)


def blob_path(root: str, digest: str) -> str:
    """Raises ImageError for what is not a digest: documents from outside name blobs, and this makes a path of it."""
    return os.path.join(root, "blobs", "sha256", parse_digest(digest).removeprefix("sha256:"))


class VerifyingReader(io.RawIOBase):
    """Reads a file once, front to back, and hashes it on the way."""

    def __init__(self, file: io.FileIO, digest: Digest, damaged: Callable[[Digest, str], BlobDamaged]) -> None:
        self._file = file
        self._digest = digest
        self._damaged = damaged
        self.size = os.fstat(file.fileno()).st_size
        self._hash = sha256(following=self.size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = self._file.readinto(view)
        if count:
            self._hash.update(view[:count])
        elif len(view):
            self._verify()
        return count

    def readall(self) -> bytes:
        data = self._file.readall()
        self._hash.update(data)
        self._verify()
        return data

    def close(self) -> None:
        self._file.close()
        super().close()

    def _verify(self) -> None:
        found = "sha256:" + self._hash.hexdigest()
        if found != self._digest:
            raise self._damaged(self._digest, found)


class HashingWriter(io.RawIOBase):
    """Writes to a file and hashes what it writes; each write is written whole."""

    def __init__(self, path: str) -> None:
        import hashlib

        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self._hash = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._hash.update(view)
        done = 0
        while done < len(view):
            done += os.write(self._fd, view[done:])
        self.size += done
        return done

    def fileno(self) -> int:
        return self._fd

    def tell(self) -> int:
        return self.size

    def digest(self) -> Digest:
        return Digest("sha256:" + self._hash.hexdigest())

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        super().close()


class StagedBlob:
    """Bytes on their way into the store; a context manager.

    Write to `file`, or to `path` by other means (its bytes are then read again to be hashed, unless the writer has
    verified their digest). A full disk inside the block becomes StoreFull.
    """

    def __init__(self, blobs: Blobs, session: Session) -> None:
        self._blobs = blobs
        self.path = os.path.join(session.new_folder(), "blob")
        self.file = HashingWriter(self.path)
        self._committed = False

    def commit(self, digest: Digest | None = None, *, verified: bool = False) -> Digest:
        """Makes it a blob and returns its digest. Raises DigestMismatch if that is not `digest`.

        `verified` says that the writer hashed the bytes on the way: `digest` is the result.
        """
        size = os.fstat(self.file.fileno()).st_size
        if digest is not None and verified:
            found = digest
        else:
            found = self.file.digest() if size == self.file.size else _digest_of_file(self.path)
            if digest is not None and found != digest:
                raise DigestMismatch(digest, found)
        os.fdatasync(self.file.fileno())
        self.file.close()
        trace.point("blob-staged")
        self._blobs._add_blob(self.path, found, size)
        self._committed = True
        return found

    def __enter__(self) -> StagedBlob:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.file.close()
        with contextlib.suppress(OSError):
            if not self._committed:
                os.unlink(self.path)
            os.rmdir(os.path.dirname(self.path))
        raise_if_full(self._blobs.root, error)


def _digest_of_file(path: str) -> Digest:
    import hashlib

    with open(path, "rb", buffering=0) as file:
        return Digest("sha256:" + hashlib.file_digest(file, "sha256").hexdigest())
