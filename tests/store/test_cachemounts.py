from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from builder.errors import Cancelled
from builder.plan.vertices import Sharing
from builder.store import Store, trace
from builder.store.gc import gc
from tests.store.children import start


def test_content_stays(store: Store) -> None:
    with store.cache_mount("pip") as mount:
        assert os.listdir(mount.path) == []
        assert os.stat(mount.path).st_mode & 0o7777 == 0o755
        Path(mount.path, "wheel").touch()
    with store.cache_mount("pip") as mount:
        assert os.listdir(mount.path) == ["wheel"]
    with store.cache_mount("npm") as mount:
        assert os.listdir(mount.path) == []


def test_ids_are_no_paths(store: Store) -> None:
    for id in ("../../etc", "/root/.cache", "a/b", "", "x" * 5000, "ä\n"):
        with store.cache_mount(id) as mount:
            assert Path(mount.path).parents[1] == Path(store.root, "mounts")
    assert {mount.id for mount in store.cache_mounts()} == {"../../etc", "/root/.cache", "a/b", "", "x" * 5000, "ä\n"}


def test_fill_happens_once_and_whole(store: Store) -> None:
    def fill(path: str) -> None:
        Path(path, "first").touch()
        os.chmod(path, 0o1777)

    def fail(path: str) -> None:
        Path(path, "half").touch()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.cache_mount("pip", fill=fail)
    with store.cache_mount("pip", fill=fill) as mount:
        assert os.listdir(mount.path) == ["first"]
        assert os.stat(mount.path).st_mode & 0o7777 == 0o1777
    with store.cache_mount("pip", fill=fail) as mount:
        assert os.listdir(mount.path) == ["first"]


def test_who_makes_it_at_the_same_time_gets_the_same(store: Store) -> None:
    at_once, paths = threading.Barrier(6, timeout=10), []

    def fill(path: str) -> None:
        Path(path, "first").touch()
        at_once.wait()

    def use() -> None:
        with store.cache_mount("pip", fill=fill) as mount:
            assert os.listdir(mount.path) == ["first"]
            paths.append(mount.path)

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert paths == [store.path("mounts", store.cache_mounts()[0].name, "data")] * 6


def test_one_that_is_removed_while_it_is_being_locked_is_made_anew(
        store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with store.cache_mount("pip") as mount:
        Path(mount.path, "old").touch()
    removing, locked = threading.Event(), threading.Event()

    def hook(point: str) -> None:
        if point == "mount-locked":
            # Whoever removes it has looked already, and saw nobody.
            locked.set()
            assert removing.wait(10)

    def remove() -> None:
        with store.session.deleting():
            assert not store.is_mount_used(name)
            removing.set()
            assert locked.wait(10)
            store.session.throw_away(store.path("mounts", name))

    monkeypatch.setattr(trace, "hook", hook)
    name = store.cache_mounts()[0].name
    remover = threading.Thread(target=remove)
    remover.start()
    assert removing.wait(10)
    with store.cache_mount("pip") as mount:
        remover.join()
        assert os.listdir(mount.path) == []


def test_one_that_a_killed_process_did_not_enter_is_used_and_kept(store: Store) -> None:
    with store.cache_mount("pip") as mount:
        Path(mount.path, "wheel").touch()
    store.db.execute("DELETE FROM mounts")
    with store.cache_mount("pip") as mount:
        gc(store, force=True)
        assert os.listdir(mount.path) == ["wheel"]
    assert [mount.id for mount in store.cache_mounts()] == ["pip"]


def test_shared_is_one_for_all(store: Store) -> None:
    with store.cache_mount("pip") as one, store.cache_mount("pip") as two:
        assert one.path == two.path


def test_private_is_another_one_for_each(store: Store) -> None:
    with store.cache_mount("pip", sharing=Sharing.PRIVATE) as one:
        Path(one.path, "one").touch()
        with store.cache_mount("pip", sharing=Sharing.PRIVATE) as two:
            assert os.listdir(two.path) == []
            Path(two.path, "two").touch()
            with Store.open(store.root) as other, other.cache_mount("pip", sharing=Sharing.PRIVATE) as three:
                assert len({one.path, two.path, three.path}) == 3
    with store.cache_mount("pip", sharing=Sharing.PRIVATE) as again:
        assert os.listdir(again.path) == ["one"], "the first that is free"


def test_locked_waits(store: Store) -> None:
    order = []

    def second() -> None:
        with store.cache_mount("pip", sharing=Sharing.LOCKED):
            order.append("second")

    with store.cache_mount("pip", sharing=Sharing.LOCKED):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.02)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_waiting_can_be_cancelled(store: Store) -> None:
    cancelled = threading.Event()
    with store.cache_mount("pip", sharing=Sharing.LOCKED):
        threading.Timer(0.02, cancelled.set).start()
        with pytest.raises(Cancelled):
            store.cache_mount("pip", sharing=Sharing.LOCKED, cancelled=cancelled)


def test_a_dead_holder_lets_go(store: Store) -> None:
    child = start(store.root, """
        from builder.plan.vertices import Sharing
        mount = store.cache_mount("pip", sharing=Sharing.LOCKED)
        print("ready", flush=True)
        input()
    """)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    assert store.cache_mounts()[0].in_use
    assert store.remove_cache_mount("pip") == 0, "in use"
    child.kill()
    child.communicate()
    with store.cache_mount("pip", sharing=Sharing.LOCKED):
        pass


def test_list_and_remove(store: Store) -> None:
    with store.cache_mount("pip") as mount:
        Path(mount.path, "wheel").write_bytes(b"x" * 100_000)
        info, = store.cache_mounts()
        assert (info.id, info.path, info.in_use) == ("pip", mount.path, True)
        assert info.size >= 100_000
    assert not store.cache_mounts()[0].in_use
    assert store.remove_cache_mount("pip") == 1
    assert store.remove_cache_mount("pip") == 0
    assert store.cache_mounts() == []
    assert os.listdir(store.path("mounts")) == []
