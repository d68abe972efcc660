from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from builder.oci import DiffID, digest_of
from builder.store import Store
from builder.store.fsck import Finding, FindingKind, fsck
from builder.store.layers import LayerId
from builder.store.records import Document, Record
from tests.store.test_images import put_image


@pytest.fixture
def layer(store: Store) -> LayerId:
    """The only layer of a store that also has an image, a record and a cache mount."""
    with store.stage_layer() as staged:
        Path(staged.diff, "file").write_text("x")
        layer = staged.commit(content="tree:1", diff_id=DiffID(digest_of(b"tar")), description="RUN x")
    store.put_record(Record(key="key", kind="run", name="RUN x", layer=layer, parts="d1"), [Document("d1", b"parts")])
    store.tag("docker.io/library/app:1", put_image(store), origin="built")
    with store.cache_mount("pip") as mount:
        Path(mount.path, "wheel").touch()
    assert fsck(store) == []
    return layer


def check(store: Store, kind: FindingKind, subject: str, message: str) -> Finding:
    """fsck finds exactly this, repairs it, and then finds nothing."""
    finding, = fsck(store)
    assert (finding.kind, finding.subject, finding.repaired) == (kind, subject, False)
    assert message in finding.message
    assert finding.is_damage is (kind is not FindingKind.LEFTOVER)
    repaired, = fsck(store, repair=True)
    assert repaired.repaired and repaired.subject == subject
    assert fsck(store) == []
    return finding


def test_damaged_blob(store: Store, layer: LayerId) -> None:
    digest = digest_of(b"layer")
    Path(store.blob_path(digest)).write_bytes(b"lAyer")
    check(store, FindingKind.BLOB, digest, f"its file has {digest_of(b'lAyer')}")
    assert not store.has_blob(digest)


def test_missing_blob(store: Store, layer: LayerId) -> None:
    digest = digest_of(b"layer")
    os.unlink(store.blob_path(digest))
    check(store, FindingKind.BLOB, digest, "should be 5 bytes, but its file has nothing")


def test_missing_layer(store: Store, layer: LayerId) -> None:
    shutil.rmtree(store.layer_dir(layer))
    finding, *others = fsck(store, repair=True)
    assert (finding.kind, finding.subject) == (FindingKind.LAYER, layer)
    assert others == []
    assert not store.has_layer(layer)
    store.sweep()
    assert [left.kind for left in fsck(store, repair=True)] == [FindingKind.LEFTOVER], "what remains of its folder"
    assert fsck(store) == []
    record = store.get_record("key")
    assert record is not None and record.gone == "damaged"


def test_record_of_no_layer(store: Store, layer: LayerId) -> None:
    store.put_record(Record(key="other", kind="run", name="RUN y", layer=LayerId("gone")))
    check(store, FindingKind.RECORD, "other", "its layer `gone` is missing")


def test_record_without_parts(store: Store, layer: LayerId) -> None:
    store.db.execute("DELETE FROM documents")
    check(store, FindingKind.RECORD, "key", "the parts of its key are missing")
    assert store.has_layer(layer)


def test_missing_mount(store: Store, layer: LayerId) -> None:
    mount, = store.cache_mounts()
    shutil.rmtree(store.path("mounts", mount.name))
    check(store, FindingKind.MOUNT, mount.name, "the directory of cache mount `pip` is missing")


def test_missing_manifest(store: Store, layer: LayerId) -> None:
    image, = store.images()
    os.unlink(store.blob_path(image.descriptor.digest))
    assert {finding.kind for finding in fsck(store)} == {FindingKind.BLOB, FindingKind.IMAGE}
    fsck(store, repair=True)
    assert store.images() == fsck(store) == []


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff"])
def test_wrong_index_json(store: Store, layer: LayerId, content: bytes | None) -> None:
    os.unlink(store.path("index.json"))
    if content is not None:
        Path(store.path("index.json")).write_bytes(content)
    check(store, FindingKind.IMAGE, "index.json", "does not say what the names of images are")


@pytest.mark.parametrize("path", ["layers/abc", "blobs/sha256/" + "0" * 64, "blobs/sha256/tmp", "mounts/x",
                                  "stage/0123456789abcdef", "stage/trash-1"])
def test_leftovers(store: Store, layer: LayerId, path: str) -> None:
    os.mkdir(store.path(path))
    Path(store.path(path), "file").touch()
    check(store, FindingKind.LEFTOVER, path, "belongs to nothing")
    assert not os.path.exists(store.path(path))


def test_lost_index_is_made_again(store: Store, layer: LayerId) -> None:
    names = [image.name for image in store.images()]
    store.close()
    Path(store.path("index.db")).write_bytes(b"garbage" * 1000)
    with Store.open(store.root) as opened:
        finding, = fsck(opened)
        assert finding.kind is FindingKind.INDEX
        finding, = fsck(opened, repair=True)
        assert finding.repaired
        assert fsck(opened) == []
        assert opened.find_content("tree:1") == opened.find_layer(DiffID(digest_of(b"tar"))) == layer
        assert opened.layer_info(layer).description == "RUN x"
        assert [image.name for image in opened.images()] == names
        assert opened.get_record("key") is None, "records are lost"
        assert opened.read_blob(digest_of(b"layer")) == b"layer"
        with opened.cache_mount("pip") as mount:
            assert os.listdir(mount.path) == ["wheel"]
        assert "index.db" in os.listdir(opened.path("damaged"))


def test_deleted_index_is_made_again(store: Store, layer: LayerId) -> None:
    from builder.store.fsck import rebuild_index

    store.close()
    os.unlink(store.path("index.db"))
    with Store.open(store.root) as opened:
        rebuild_index(opened)
        assert fsck(opened) == []
        assert opened.has_layer(layer)
