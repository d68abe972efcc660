from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from builder.errors import BuilderError
from builder.layer.compress import Blob
from builder.layer.pack import pack
from builder.oci import Compression, Descriptor, DiffID, MediaType, digest_of
from builder.store import Store, trace
from builder.store.fsck import fsck
from builder.store.gc import PrunePolicy, prune
from builder.store.layers import LayerId, LayerMissing
from tests.rooted.deep import make_deep

DIFF = DiffID(digest_of(b"a tar"))


def make_layer(store: Store, text: str = "x", *, content: str | None = None, diff_id: DiffID | None = None) -> LayerId:
    with store.stage_layer() as staged:
        Path(staged.diff, "file").write_text(text)
        return staged.commit(content=content, diff_id=diff_id, description=f"RUN echo {text}")


def test_commit(store: Store) -> None:
    with store.stage_layer() as staged:
        assert os.listdir(staged.diff) == os.listdir(staged.work) == []
        assert os.stat(staged.diff).st_mode & 0o7777 == 0o755
        assert os.stat(staged.diff).st_dev == os.stat(staged.work).st_dev
        Path(staged.diff, "file").write_text("x")
        Path(staged.work, "scratch").mkdir()
        layer = staged.commit(description="RUN x", size=4096)
    assert Path(store.layer_dir(layer), "file").read_text() == "x"
    assert sorted(os.listdir(store.path("layers", layer))) == ["diff", "layer.json"]
    info = store.layer_info(layer)
    assert (info.id, info.diff_id, info.content, info.size, info.description) == (layer, None, None, 4096, "RUN x")
    assert store.has_layer(layer)


def test_discarded_without_commit(store: Store) -> None:
    with store.stage_layer() as staged:
        Path(staged.diff, "file").write_text("x")
    assert not os.path.exists(staged.diff)
    assert os.listdir(store.path("layers")) == []


def test_equal_content_is_one_layer(store: Store) -> None:
    first = make_layer(store, content="tree:1")
    assert make_layer(store, content="tree:1") == first
    assert make_layer(store, content="tree:2") != first
    assert store.find_content("tree:1") == first
    assert store.find_content("tree:3") is None
    assert len(os.listdir(store.path("layers"))) == 2


def test_a_fresh_layer_takes_the_place_of_the_old(store: Store) -> None:
    old = make_layer(store, "old", content="key:1")
    with store.stage_layer() as staged:
        Path(staged.diff, "file").write_text("new")
        new = staged.commit(content="key:1", fresh=True)
    assert new != old and store.has_layer(old)
    assert store.find_content("key:1") == make_layer(store, content="key:1") == new
    assert Path(store.layer_dir(old), "file").read_text() == "old", "who uses it goes on"
    store.forget_layer(new, "damaged")
    again = make_layer(store, "newest", content="key:1")
    assert again not in {old, new}


def test_unknown_content_is_never_shared(store: Store) -> None:
    assert make_layer(store) != make_layer(store)


def test_content_names_the_layer_for_ever(store: Store) -> None:
    first = make_layer(store, content="tree:1")
    store.forget_layer(first, "damaged")
    assert not store.has_layer(first)
    assert make_layer(store, content="tree:1") == first
    assert store.has_layer(first)


def test_ids_differ_between_stores(store: Store, tmp_path: Path) -> None:
    with Store.open(str(tmp_path / "other")) as other:
        assert make_layer(other, content="tree:1") != make_layer(store, content="tree:1")


def test_diff_ids(store: Store) -> None:
    layer = make_layer(store)
    assert store.find_layer(DIFF) is None
    store.set_packed(layer, DIFF, 10240, content="tree:1")
    assert store.find_layer(DIFF) == store.find_content("tree:1") == layer
    assert store.layer_info(layer).tar_size == 10240
    twin = make_layer(store)
    store.set_packed(twin, DIFF, 10240)
    assert store.find_layer(DIFF) == layer, "the first one"
    store.forget_layer(layer, "damaged")
    assert store.find_layer(DIFF) == twin
    with pytest.raises(LayerMissing):
        store.set_packed(layer, DIFF, 1)


def test_pulled_layers_meet(store: Store) -> None:
    assert make_layer(store, diff_id=DIFF) == make_layer(store, diff_id=DIFF) == store.find_layer(DIFF)


def test_missing_directory_is_no_layer(store: Store) -> None:
    layer = make_layer(store, content="tree:1", diff_id=DIFF)
    os.rename(store.path("layers", layer), store.path("layers", "elsewhere"))
    assert not store.has_layer(layer)
    assert store.find_layer(DIFF) is None
    assert make_layer(store, content="tree:1", diff_id=DIFF) == layer
    assert store.has_layer(layer)


def test_directory_without_row_makes_way(store: Store) -> None:
    layer = make_layer(store, "old", content="tree:1")
    store.forget_layer(layer, "damaged")
    assert make_layer(store, "new", content="tree:1") == layer
    assert Path(store.layer_dir(layer), "file").read_text() == "new"


def test_size_is_counted_once(store: Store) -> None:
    layer = make_layer(store)
    assert store.layer_info(layer).size is None
    size = store.layer_size(layer)
    assert size >= 512
    Path(store.layer_dir(layer), "more").write_bytes(b"x" * 100_000)
    assert store.layer_size(layer) == size == store.layer_info(layer).size


def test_layer_blobs(store: Store) -> None:
    digest = store.put_blob(b"packed")
    descriptor = Descriptor(media_type=MediaType.OCI_LAYER_GZIP, digest=digest, size=6, annotations={"a": "b"})
    assert store.layer_blob(DIFF, Compression.GZIP) is None
    store.add_layer_blob(DIFF, Compression.GZIP, descriptor)
    assert store.layer_blob(DIFF, Compression.GZIP) == descriptor
    assert store.layer_blob(DIFF, Compression.ZSTD) is None
    os.unlink(store.blob_path(digest))
    assert store.layer_blob(DIFF, Compression.GZIP) is None, "the blob is gone"


def test_many_threads_one_content(store: Store) -> None:
    found: list[LayerId] = []
    gate = threading.Barrier(6)

    def work() -> None:
        gate.wait()
        found.append(make_layer(store, content="tree:1"))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 6
    assert os.listdir(store.path("layers")) == [found[0]]


# -- layers that are only packed ------------------------------------------------------------------------------------


@pytest.mark.root
def test_a_packed_layer_is_unpacked_when_somebody_looks(store: Store, tmp_path: Path) -> None:
    layer, blob = make_packed(store, tmp_path, content="key 1")
    assert store.has_layer(layer) and not store.is_unpacked(layer)
    assert (store.layer_info(layer).diff_id, store.layer_info(layer).tar_size) == (blob.diff_id, blob.diff_size)
    assert store.find_layer(blob.diff_id) == store.find_content("key 1") == layer
    assert Path(store.layer_dir(layer), "dir/file").read_text() == "packed"
    assert stat_of(store.layer_dir(layer)) == (0o40700, 3, 4, 5 * 10**9)
    assert store.is_unpacked(layer) and not damage(store)


@pytest.mark.root
def test_a_packed_layer_is_no_more_when_its_blob_is_lost(store: Store, tmp_path: Path) -> None:
    layer, blob = make_packed(store, tmp_path)
    os.unlink(store.blob_path(blob.digest))
    assert not store.has_layer(layer)
    with pytest.raises(LayerMissing):
        store.layer_dir(layer)
    assert layer in {finding.subject for finding in fsck(store, repair=True)}
    assert not damage(store)
    again, _ = make_packed(store, tmp_path)
    assert store.has_layer(again)


@pytest.mark.root
def test_a_packed_layer_with_a_damaged_blob_is_told(store: Store, tmp_path: Path) -> None:
    layer, blob = make_packed(store, tmp_path)
    path = Path(store.blob_path(blob.digest))
    path.write_bytes(bytes(len(path.read_bytes())))
    with pytest.raises(BuilderError, match="is damaged"):
        store.layer_dir(layer)
    assert not store.is_unpacked(layer)


@pytest.mark.root
def test_a_packed_layer_that_is_pruned_while_it_is_unpacked(store: Store, tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    layer, _ = make_packed(store, tmp_path)

    def prune_unpacked(point: str) -> None:
        if point == "layer-unpacked":
            prune(store, PrunePolicy())

    monkeypatch.setattr(trace, "hook", prune_unpacked)
    with pytest.raises(LayerMissing):
        store.layer_dir(layer)
    assert os.listdir(store.path("layers")) == []


@pytest.mark.root
def test_equal_packed_layers_are_one(store: Store, tmp_path: Path) -> None:
    first, _ = make_packed(store, tmp_path, content="key 1")
    assert make_packed(store, tmp_path, content="key 1")[0] == first
    assert make_layer(store, content="key 1") == first
    assert make_packed(store, tmp_path, content="key 2")[0] != first, "what is above `/` may differ"


@pytest.mark.root
def test_threads_unpack_a_layer_once(store: Store, tmp_path: Path) -> None:
    layer, _ = make_packed(store, tmp_path)
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(store.layer_dir(layer))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [store.layer_dir(layer)] * 5
    assert os.listdir(found[0]) == ["dir"]


def make_packed(store: Store, tmp_path: Path, *, content: str = "key") -> tuple[LayerId, Blob]:
    """A layer that is stored as a gzip blob, with `/` 0700 of 3:4."""
    files = tmp_path / "files"
    if not files.exists():
        (files / "dir").mkdir(parents=True)
        (files / "dir/file").write_text("packed")
    with store.stage_layer() as staged, store.stage_blob() as staged_blob:
        with open(staged_blob.path, "wb") as file:
            blob = pack(str(files), file, compression=Compression.GZIP).blob
        staged_blob.commit(blob.digest, verified=True)
        store.add_layer_blob(blob.diff_id, Compression.GZIP, blob.descriptor)
        os.chmod(staged.diff, 0o700)
        os.chown(staged.diff, 3, 4)
        os.utime(staged.diff, (5, 5))
        staged.use_blob(blob.diff_id, blob.diff_size)
        return staged.commit(content=content), blob


def damage(store: Store) -> list[str]:
    return [finding.message for finding in fsck(store) if finding.is_damage]


def stat_of(path: str) -> tuple[int, int, int, int]:
    info = os.stat(path)
    return info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns


def test_whatever_was_staged_can_be_thrown_away(store: Store) -> None:
    with store.stage_layer() as staged:
        make_deep(Path(staged.diff), 8000, "n" * 200)
        make_deep(Path(staged.work), 20, "w" * 255)
        staged.reopen()
        staged.clear()
        make_deep(Path(staged.diff), 8000, "n" * 200)
    with store.stage_layer() as staged:
        make_deep(Path(staged.diff), 8000, "n" * 200)
        layer = staged.commit()
    prune(store, PrunePolicy(all=True))
    assert not store.has_layer(layer)
    store.close()
    with Store.open(store.root) as again:
        again.sweep()
        assert os.listdir(again.path("stage")) == os.listdir(again.path("layers")) == []
