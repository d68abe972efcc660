from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from builder.errors import ImageError
from builder.oci import Digest, digest_of
from builder.store import Store
from builder.store.blobs import BlobDamaged, BlobMissing, DigestMismatch

HELLO = digest_of(b"hello")


def leftovers(store: Store) -> list[str]:
    """Files in stage/ but for the session's own."""
    return [name for _, _, names in os.walk(store.path("stage")) for name in names if name != "pins"]


def test_put_and_read(store: Store) -> None:
    assert not store.has_blob(HELLO)
    assert store.put_blob(b"hello") == HELLO
    assert store.has_blob(HELLO)
    assert store.read_blob(HELLO) == b"hello"
    assert store.blob_size(HELLO) == 5
    assert Path(store.blob_path(HELLO)).parts[-3:] == ("blobs", "sha256", HELLO[7:])


def test_putting_twice_is_one_blob(store: Store) -> None:
    store.put_blob(b"hello")
    before = os.stat(store.blob_path(HELLO)).st_ino
    store.put_blob(b"hello")
    assert os.stat(store.blob_path(HELLO)).st_ino == before
    assert leftovers(store) == []


def test_staged_blob_is_hashed_while_written(store: Store) -> None:
    with store.stage_blob() as staged:
        staged.file.write(b"hel")
        staged.file.write(memoryview(b"lo"))
        assert staged.commit() == HELLO
    assert store.read_blob(HELLO) == b"hello"
    assert leftovers(store) == []


def test_staged_blob_written_by_path(store: Store) -> None:
    with store.stage_blob() as staged:
        Path(staged.path).write_bytes(b"hello")
        assert staged.commit() == HELLO


def test_uncommitted_blob_leaves_nothing(store: Store) -> None:
    with store.stage_blob() as staged:
        staged.file.write(b"hello")
    with pytest.raises(ZeroDivisionError), store.stage_blob() as staged:
        staged.file.write(b"hello")
        raise ZeroDivisionError
    assert not store.has_blob(HELLO)
    assert leftovers(store) == []


def test_commit_refuses_other_content(store: Store) -> None:
    with pytest.raises(DigestMismatch, match="found sha256:2cf24dba"), store.stage_blob() as staged:
        staged.file.write(b"hello")
        staged.commit(digest_of(b"other"))
    assert not store.has_blob(HELLO)
    assert not store.has_blob(digest_of(b"other"))


@pytest.mark.parametrize("content", [b"hellO", b"", b"hello, and more"])
def test_damage_is_found_when_reading_and_heals(store: Store, content: bytes) -> None:
    store.put_blob(b"hello")
    Path(store.blob_path(HELLO)).write_bytes(content)
    with pytest.raises(BlobDamaged):
        store.read_blob(HELLO)
    assert not store.has_blob(HELLO), "moved aside"
    assert Path(store.path("damaged", HELLO[7:])).read_bytes() == content
    store.put_blob(b"hello")
    assert store.read_blob(HELLO) == b"hello"


def test_reader_verifies_at_the_end(store: Store) -> None:
    data = os.urandom(300_000)
    digest = store.put_blob(data)
    with store.open_blob(digest) as reader:
        assert reader.size == len(data)
        assert b"".join(iter(lambda: reader.read(65536), b"")) == data
    with open(store.blob_path(digest), "r+b") as file:
        file.seek(200_000)
        file.write(b"damage")
    with store.open_blob(digest) as reader:
        assert reader.read(100_000) == data[:100_000]
        with pytest.raises(BlobDamaged):
            while reader.read(65536):
                pass


def test_missing_blob(store: Store) -> None:
    for read in (store.read_blob, store.open_blob, store.blob_size):
        with pytest.raises(BlobMissing, match="has no blob"):
            read(HELLO)


def test_row_without_file_is_no_blob(store: Store) -> None:
    store.put_blob(b"hello")
    os.unlink(store.blob_path(HELLO))
    assert not store.has_blob(HELLO)
    with pytest.raises(BlobMissing):
        store.read_blob(HELLO)
    store.put_blob(b"hello")
    assert store.read_blob(HELLO) == b"hello"


def test_file_without_row_is_no_blob(store: Store) -> None:
    Path(store.blob_path(HELLO)).write_bytes(b"evil!")
    assert not store.has_blob(HELLO)
    store.put_blob(b"hello")
    assert store.read_blob(HELLO) == b"hello"


@pytest.mark.parametrize("digest", ["sha256:../../secret", "sha256:" + "A" * 64, "../x", ""])
def test_no_path_from_a_false_digest(store: Store, digest: str) -> None:
    with pytest.raises(ImageError):
        store.blob_path(Digest(digest))
    assert not store.has_blob(Digest(digest))


def test_another_handle_sees_it(store: Store) -> None:
    store.put_blob(b"hello")
    with Store.open(store.root) as other:
        assert other.read_blob(HELLO) == b"hello"
    assert hashlib.sha256(b"hello").hexdigest() in os.listdir(store.path("blobs", "sha256"))
