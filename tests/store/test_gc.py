from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.errors import UsageError
from builder.images.catalog import Catalog
from builder.oci import Compression, Descriptor, DiffID, MediaType, digest_of
from builder.store import Store
from builder.store.builds import BuildState
from builder.store.fsck import fsck
from builder.store.gc import DAY, PrunePolicy, bytes_to_keep, default_policies, gc, prune
from builder.store.layers import LayerId, LayerMissing
from builder.store.records import Record
from builder.store.usage import UsageType, du, parse_filters, totals
from tests.store.children import run, start
from tests.store.test_images import put_image
from tests.store.test_layers import make_packed

MB = 1_000_000


def make_layer(store: Store, size: int = 1000, *, diff_id: DiffID | None = None, age: float = 0, seconds: float = 0,
               description: str = "") -> LayerId:
    with store.stage_layer() as staged:
        Path(staged.diff, "file").write_bytes(os.urandom(size))
        layer = staged.commit(diff_id=diff_id, description=description)
    store.put_record(Record(key=f"key of {layer}", kind="run", name="RUN x", layer=layer, seconds=seconds))
    store.db.execute("UPDATE layers SET used = used - ?, created = created - ?", age, age)
    store.db.execute("UPDATE layers SET used = used + ?, created = created + ? WHERE id != ?", age, age, layer)
    return layer


def layers(store: Store) -> set[str]:
    return set(os.listdir(store.path("layers")))


@pytest.mark.root
def test_a_packed_layer_goes_with_its_blob(store: Store, tmp_path: Path) -> None:
    layer, _ = make_packed(store, tmp_path)
    store.put_record(Record(key="key", kind="copy", name="COPY . .", layer=layer))
    prune(store, PrunePolicy(filters=("type==blob",)))
    record = store.get_record("key")
    assert record is not None and (record.layer, record.gone) == (None, "pruned")
    assert layers(store) == set() and fsck(store) == []


@pytest.mark.root
def test_a_packed_layer_stays_while_another_blob_packs_it(store: Store, tmp_path: Path) -> None:
    layer, blob = make_packed(store, tmp_path)
    digest = store.put_blob(b"the same in another compression")
    store.add_layer_blob(blob.diff_id, Compression.ZSTD,
                         Descriptor(media_type=MediaType.OCI_LAYER_ZSTD, digest=digest, size=31))
    prune(store, PrunePolicy(filters=(f"id=={blob.digest}",)))
    assert not store.has_blob(blob.digest) and store.has_layer(layer)
    prune(store, PrunePolicy(filters=("type==blob",)))
    assert layers(store) == set()


@pytest.mark.root
def test_an_unpacked_layer_outlives_its_blob(store: Store, tmp_path: Path) -> None:
    layer, _ = make_packed(store, tmp_path)
    store.layer_dir(layer)
    prune(store, PrunePolicy(filters=("type==blob",)))
    assert store.has_layer(layer) and os.listdir(store.layer_dir(layer)) == ["dir"]


# -- what is kept --------------------------------------------------------------------------------------------------


def test_prune_removes_everything_unused(store: Store) -> None:
    layer, digest = make_layer(store), store.put_blob(b"blob")
    store.remember("/src", b"x")
    with store.cache_mount("pip"):
        pass
    store.end_build(store.begin_build(), BuildState.DONE)
    report = prune(store, PrunePolicy())
    assert {row.type for row in report.removed} == {
        UsageType.LAYER, UsageType.BLOB, UsageType.LOCAL, UsageType.CACHE_MOUNT, UsageType.HISTORY}
    assert report.freed == sum(row.size for row in report.removed) > 0
    assert not store.has_layer(layer) and not store.has_blob(digest)
    assert store.recall("/src") is None
    assert store.cache_mounts() == store.builds() == du(store) == []
    assert layers(store) == set()
    assert fsck(store) == []


def test_records_of_pruned_layers_stay_without_layer(store: Store) -> None:
    layer = make_layer(store)
    prune(store, PrunePolicy())
    record = store.get_record(f"key of {layer}")
    assert record is not None and (record.layer, record.gone) == (None, "pruned")


def test_what_a_lease_covers_stays(store: Store) -> None:
    old = make_layer(store)
    with Store.open(store.root) as other, store.lease():
        found, digest = store.has_layer(old), store.put_blob(b"blob")
        new = make_layer(store)
        with store.lease():
            pass
        assert prune(other, PrunePolicy(all=True)).removed == ()
        assert found and store.has_layer(old) and store.has_layer(new) and store.has_blob(digest)
        assert all(row.in_use for row in du(other))
    prune(store, PrunePolicy(all=True))
    assert du(store) == []


def test_what_was_not_touched_under_the_lease_goes(store: Store) -> None:
    layer = make_layer(store)
    with store.lease():
        prune(store, PrunePolicy())
        assert not store.has_layer(layer)


def test_the_lease_of_a_dead_process_is_void(store: Store) -> None:
    layer = make_layer(store)
    child = start(store.root, f"""
        lease = store.lease()
        lease.__enter__()
        assert store.has_layer(LayerId({layer!r}))
        print("ready", flush=True)
        input()
    """)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    assert prune(store, PrunePolicy()).removed == ()
    child.kill()
    child.communicate()
    assert [row.id for row in prune(store, PrunePolicy()).removed] == [layer]


def test_pins_outlive_their_process(store: Store) -> None:
    layer = make_layer(store)
    run(store.root, f"store.pin_layers('container 1', (LayerId({layer!r}),))")
    assert prune(store, PrunePolicy(all=True)).removed == ()
    store.unpin_layers("container 1")
    prune(store, PrunePolicy(all=True))
    assert layers(store) == set()
    with pytest.raises(LayerMissing):
        store.pin_layers("container 1", (layer,))


def test_used_mounts_and_running_builds_stay(store: Store) -> None:
    build = store.begin_build()
    with store.cache_mount("pip"):
        prune(store, PrunePolicy(all=True))
        assert len(store.cache_mounts()) == 1
    assert store.build_ids() == [build]


# -- images --------------------------------------------------------------------------------------------------------


def test_local_images_stay_whole(store: Store) -> None:
    descriptor = put_image(store, "tar")
    store.tag("app:1", descriptor, origin="built")
    other = store.put_blob(b"other")
    prune(store, PrunePolicy(all=True))
    assert all(store.has_blob(digest) for digest in store.reachable().blobs)
    assert not store.has_blob(other)
    store.untag("app:1")
    prune(store, PrunePolicy())
    assert du(store) == []


def test_unpacked_layers_of_images_go_only_with_all(store: Store) -> None:
    layer = make_layer(store, diff_id=DiffID(digest_of(b"tar")))
    store.tag("app:1", put_image(store, "tar"), origin="built")
    prune(store, PrunePolicy())
    assert store.has_layer(layer)
    prune(store, PrunePolicy(all=True))
    assert not store.has_layer(layer), "the blob has the same content"


def test_a_layer_that_only_the_folder_has_stays(store: Store) -> None:
    layer = make_layer(store, diff_id=DiffID(digest_of(b"tar")))
    store.tag("app:1", put_image(store, "tar"), origin="built")
    store.db.execute("DELETE FROM blobs WHERE digest=?", digest_of(b"tar"))
    packed = Descriptor(media_type=MediaType.OCI_LAYER_GZIP, digest=store.put_blob(b"tgz"), size=3)
    store.add_layer_blob(DiffID(digest_of(b"tar")), Compression.GZIP, packed)
    prune(store, PrunePolicy(all=True))
    assert store.has_layer(layer), "the gzip blob is no part of the image and may go as well"


def test_pulled_images_are_cache(store: Store) -> None:
    store.tag("docker.io/library/debian:12", put_image(store, "tar"), origin="docker.io/library/debian:12")
    prune(store, PrunePolicy())
    assert len(store.images()) == 1
    prune(store, PrunePolicy(all=True))
    assert store.images() == du(store) == []
    assert fsck(store) == []


def test_another_name_of_an_image_keeps_it(store: Store) -> None:
    """As `builder tag app:1 app:2; builder rmi app:1` leaves it."""
    store.tag("docker.io/library/app:1", put_image(store, "tar"), origin="built")
    catalog = Catalog(store)
    catalog.tag("app:1", "app:2")
    catalog.remove("app:1")
    prune(store, PrunePolicy(all=True))
    assert [image.name for image in store.images()] == ["docker.io/library/app:2"]
    assert store.has_blob(digest_of(b"tar"))
    assert fsck(store) == []


# -- policies ------------------------------------------------------------------------------------------------------


def test_keep_duration(store: Store) -> None:
    old, new = make_layer(store, age=3 * DAY), make_layer(store, age=1 * DAY)
    prune(store, PrunePolicy(keep_duration=2 * DAY))
    assert layers(store) == {new}
    assert old != new


def test_use_makes_young(store: Store) -> None:
    layer = make_layer(store, age=3 * DAY)
    with store.lease():
        store.has_layer(layer)
    assert prune(store, PrunePolicy(keep_duration=2 * DAY)).removed == ()


def test_filters_choose(store: Store) -> None:
    make_layer(store)
    with store.cache_mount("pip"):
        pass
    prune(store, PrunePolicy(filters=("type==exec.cachemount",)))
    assert store.cache_mounts() == []
    assert len(layers(store)) == 1


def test_down_to_the_limit_but_not_further(store: Store) -> None:
    for age in range(5):
        make_layer(store, MB, age=age * DAY)
    oldest = make_layer(store, MB, age=30 * DAY)
    removed = prune(store, PrunePolicy(max_used_space=int(5.5 * MB))).removed
    assert [row.id for row in removed] == [oldest]
    assert totals(du(store)).size <= 5.5 * MB
    prune(store, PrunePolicy(max_used_space=1, reserved_space=3 * MB))
    assert 1 * MB < totals(du(store)).size <= 3 * MB


def test_what_is_dear_to_make_goes_last(store: Store) -> None:
    dear = make_layer(store, MB, age=2 * DAY, seconds=600)
    cheap = make_layer(store, MB, age=1 * DAY)
    prune(store, PrunePolicy(max_used_space=int(1.5 * MB)))
    assert layers(store) == {dear}
    assert cheap != dear


@pytest.mark.parametrize(("policy", "used", "free", "keep"), [
    (PrunePolicy(), 100, 0, None),
    (PrunePolicy(max_used_space=60), 100, 0, 60),
    (PrunePolicy(reserved_space=60), 100, 0, 60),
    (PrunePolicy(max_used_space=60, reserved_space=80), 100, 0, 80),
    (PrunePolicy(min_free_space=30), 100, 10, 80),
    (PrunePolicy(min_free_space=30), 100, 40, 100),
    (PrunePolicy(max_used_space=90, min_free_space=30), 100, 10, 80),
    (PrunePolicy(max_used_space=70, min_free_space=30), 100, 10, 70),
    (PrunePolicy(min_free_space=200, reserved_space=5), 100, 10, 5),
])
def test_limits(policy: PrunePolicy, used: int, free: int, keep: int | None) -> None:
    assert bytes_to_keep(policy, used, free) == keep


def test_default_policies() -> None:
    first, *others = default_policies(200 * 10**9)
    assert (first.keep_duration, first.max_used_space) == (2 * DAY, 512 * MB)
    assert [policy.keep_duration for policy in others] == [60 * DAY, 0, 0]
    assert [policy.all for policy in others] == [False, False, True]
    for policy in others:
        assert (policy.reserved_space, policy.max_used_space) == (10 * 10**9, 100 * 10**9)
        assert policy.min_free_space == 40 * 10**9


def test_gc_looks_once_an_hour(store: Store) -> None:
    policies = (PrunePolicy(keep_duration=1 * DAY),)
    make_layer(store, age=2 * DAY)
    assert len(gc(store, policies).removed) == 1
    make_layer(store, age=2 * DAY)
    assert gc(store, policies).removed == ()
    assert len(gc(store, policies, force=True).removed) == 1


def test_gc_looks_sooner_when_space_is_short(store: Store) -> None:
    policies = (PrunePolicy(min_free_space=1 << 60),)
    gc(store, policies)
    make_layer(store)
    stamp = store.path("locks", "gc-stamp")
    os.utime(stamp, (os.stat(stamp).st_mtime - 61,) * 2)
    assert len(gc(store, policies).removed) == 1


# -- usage ---------------------------------------------------------------------------------------------------------


def test_du(store: Store) -> None:
    big, small = make_layer(store, MB, description="RUN big"), make_layer(store)
    store.tag("app:1", put_image(store, "tar"), origin="built")
    rows = du(store)
    assert [row.id for row in rows if row.type is UsageType.LAYER] == [big, small]
    assert rows[0].size >= MB and rows[0].description == "RUN big"
    total = totals(rows)
    assert total.size == sum(row.size for row in rows)
    assert total.shared == total.size - total.reclaimable == sum(row.size for row in rows if row.shared) > 0
    assert [row.id for row in du(store, ["description~=^RUN"])] == [big]


def test_filter_language(store: Store) -> None:
    make_layer(store, description='a "b", c')
    row, = du(store, ["type==regular"])
    for text, expected in {
        "type==regular": True, "type=regular": True, "type==blob": False, "type!=blob": True, "type~=^reg": True,
        "type~=blob|regular": True, f"id=={row.id}": True, "id==x": False, "inuse": False, "inuse==false": True,
        "inuse=true": False, "private": True, "shared": False, "mutable": False, "immutable": True,
        "private, immutable": True, "private,shared": False, ' type == "regular" ': True,
        r'description=="a \"b\", c"': True, "description": True,
    }.items():
        assert parse_filters([text])(row) is expected, text
    assert parse_filters([])(row)
    assert parse_filters(["shared", "private"])(row), "any of them"


@pytest.mark.parametrize("text", ["", ",", "size==1", "type==", "type==a b", "==x", "id~=(", "private,", 'id=="x'])
def test_bad_filters(text: str) -> None:
    with pytest.raises(UsageError, match="is not a filter"):
        parse_filters([text])
