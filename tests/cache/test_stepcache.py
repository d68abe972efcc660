from __future__ import annotations

import shutil

from builder.cache.explain import FAILED, INTERRUPTED, Attempt
from builder.cache.key import CacheKey, Parts, key_of
from builder.cache.stepcache import Cache
from builder.store import Store
from builder.store.gc import PrunePolicy, prune
from builder.store.layers import LayerId

RUN: Parts = {"argv": ["/bin/sh", "-c", "make"], "env": [["A", "1"]], "parent": ["l1"]}


def make_layer(store: Store) -> LayerId:
    with store.stage_layer() as staged:
        return staged.commit()


def saved(
    cache: Cache, store: Store, parts: Parts, name: str = "RUN make", kind: str = "run"
) -> tuple[CacheKey, LayerId]:
    key, layer = key_of(kind, parts), make_layer(store)
    cache.save(key, kind, parts, layer, name=name, build="b1", seconds=2.5)
    return key, layer


def manifest(count: int, changed: int = -1) -> list[tuple[str, str]]:
    return [(f"src/module{n:06}.py", f"100644 0:0 {n ^ (n == changed):032x}") for n in range(count)]


def size_of_documents(store: Store) -> int:
    total: int = store.db.rows("SELECT sum(length(data)) FROM documents")[0][0]
    return total


def test_save_and_lookup(store: Store) -> None:
    cache = Cache(store)
    assert cache.lookup(key_of("run", RUN)) is None
    key, layer = saved(cache, store, RUN)
    record = cache.lookup(key)
    assert record is not None
    assert (record.layer, record.name, record.kind, record.build) == (layer, "RUN make", "run", "b1")
    assert record.seconds == 2.5
    assert cache.parts(record) == RUN


def test_saving_again_replaces(store: Store) -> None:
    cache = Cache(store)
    key, first = saved(cache, store, RUN)
    _, second = saved(cache, store, RUN)
    record = cache.lookup(key)
    assert first != second
    assert record is not None and record.layer == second


def test_records_that_are_too_old_are_not_taken(store: Store) -> None:
    key, _ = saved(Cache(store), store, RUN)
    assert Cache(store, max_age=3600).lookup(key) is not None
    strict = Cache(store, max_age=0)
    assert strict.lookup(key) is None
    assert strict.is_too_old(key)
    assert strict.explain("run", RUN) == "its earlier result is older than --cache-ttl allows"
    saved(strict, store, RUN)
    assert strict.lookup(key) is not None


def test_lost_layer_is_a_miss_for_good(store: Store) -> None:
    cache = Cache(store)
    key, layer = saved(cache, store, RUN)
    shutil.rmtree(store.path("layers", layer))
    assert cache.lookup(key) is None
    assert not store.db.rows("SELECT * FROM layers")
    assert cache.explain("run", RUN) == "its earlier result was found damaged and dropped"
    saved(cache, store, RUN)
    assert cache.lookup(key) is not None


def test_pruned_layer_is_a_miss(store: Store) -> None:
    cache = Cache(store)
    key, _ = saved(cache, store, RUN)
    prune(store, PrunePolicy())
    assert cache.lookup(key) is None
    assert cache.explain("run", RUN) == "its earlier result was removed by prune"


def test_long_lists_come_back(store: Store) -> None:
    cache = Cache(store)
    rows = manifest(3000)
    key, _ = saved(cache, store, {"files": "d1", "files.list": rows}, "COPY . .", "copy")
    record = cache.lookup(key)
    assert record is not None
    stored = cache.parts(record)
    assert stored["files"] == "d1"
    assert cache.rows(stored["files.list"]) == [list(row) for row in rows]


def test_a_changed_row_costs_one_piece(store: Store) -> None:
    cache = Cache(store)
    saved(cache, store, {"files": "d1", "files.list": manifest(20_000)}, "COPY . .", "copy")
    before = size_of_documents(store)
    saved(cache, store, {"files": "d2", "files.list": manifest(20_000, changed=7000)}, "COPY . .", "copy")
    assert size_of_documents(store) - before < before / 5
    saved(cache, store, {"files": "d2", "files.list": manifest(20_000, changed=7000)}, "COPY . .", "copy")


def test_an_inserted_row_costs_one_piece(store: Store) -> None:
    cache = Cache(store)
    saved(cache, store, {"files": "d1", "files.list": manifest(20_000)}, "COPY . .", "copy")
    before = size_of_documents(store)
    saved(cache, store, {"files": "d2", "files.list": [("a", "x"), *manifest(20_000)]}, "COPY . .", "copy")
    assert size_of_documents(store) - before < before / 5


def test_documents_go_with_their_records(store: Store) -> None:
    cache = Cache(store)
    saved(cache, store, {"files": "d1", "files.list": manifest(3000)}, "COPY . .", "copy")
    prune(store, PrunePolicy())
    assert store.db.rows("SELECT count(*) FROM documents")[0][0] > 1, "they still explain"
    store.db.execute("UPDATE records SET used = used - 31 * 86400")
    prune(store, PrunePolicy())
    assert store.db.rows("SELECT * FROM records") == store.db.rows("SELECT * FROM documents") == []


def test_lost_documents_do_no_harm(store: Store) -> None:
    cache = Cache(store)
    key, layer = saved(cache, store, {"files": "d1", "files.list": manifest(3000)}, "COPY . .", "copy")
    store.db.execute("DELETE FROM documents WHERE refs = ''")
    record, earlier = cache.lookup(key), [Attempt(key)]
    assert record is not None and record.layer == layer
    assert cache.explain("copy", {"files": "d2", "files.list": manifest(2)}, earlier) == (
        "the files that it takes changed")
    store.db.execute("UPDATE documents SET data = x'00'")
    assert cache.explain("copy", {"files": "d2"}, earlier) == (
        "it is not known any more what the earlier build of this step was made of")


def test_lookup_pins_the_layer(store: Store) -> None:
    cache = Cache(store)
    key, layer = saved(cache, store, RUN)
    with store.lease():
        assert cache.lookup(key) is not None
        prune(store, PrunePolicy(all=True))
        assert store.is_unpacked(layer)
    prune(store, PrunePolicy(all=True))
    assert not store.is_unpacked(layer)


def failed(cache: Cache, parts: Parts, gone: str = "failed") -> Attempt:
    key = key_of("run", parts)
    cache.save_attempt(key, "run", parts, name="RUN make", build="b1", gone=gone, seconds=1.0)
    return Attempt(key, FAILED if gone == "failed" else INTERRUPTED)


def test_a_step_that_failed_last_time(store: Store) -> None:
    cache = Cache(store)
    attempt = failed(cache, RUN)
    assert cache.lookup(key_of("run", RUN)) is None
    assert cache.explain("run", RUN, [attempt]) == "it failed last time, and nothing changed since"
    assert cache.explain("run", {**RUN, "env": [["A", "2"]]}, [attempt]) == (
        'it failed last time; environment variable A changed "1" -> "2"')
    other = failed(cache, {**RUN, "env": [["A", "2"]]}, "interrupted")
    assert cache.explain("run", {**RUN, "env": [["A", "2"]]}, [other, attempt]) == (
        "it was interrupted last time, and nothing changed since")
    assert cache.explain("run", RUN, [other, attempt]) == "it failed when it was last like this"


def test_a_killed_step_left_no_parts_but_its_key_tells(store: Store) -> None:
    cache = Cache(store)
    killed = Attempt(key_of("run", RUN), INTERRUPTED)
    assert cache.explain("run", RUN, [killed]) == "it was interrupted last time, and nothing changed since"
    done, _ = saved(cache, store, {**RUN, "env": [["A", "0"]]})
    assert cache.explain("run", {**RUN, "env": [["A", "2"]]}, [killed, Attempt(done)]) == (
        'it was interrupted last time; environment variable A changed "0" -> "2"')


def test_a_failure_does_not_hide_a_result(store: Store) -> None:
    cache = Cache(store)
    key, layer = saved(cache, store, RUN)
    failed(cache, RUN)
    record = cache.lookup(key)
    assert record is not None and record.layer == layer
