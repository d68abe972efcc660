from __future__ import annotations

import os
import threading

import pytest

from builder.errors import Cancelled
from builder.store import Store
from tests.store.children import start


def test_threads_exclude_each_other(store: Store) -> None:
    inside: list[int] = []
    worst: list[int] = []

    def work() -> None:
        for _ in range(50):
            with store.lock("key"):
                inside.append(1)
                worst.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert worst == [1] * 200
    assert os.listdir(store.path("locks")) == [], "no file is left behind"


def test_names_are_independent(store: Store) -> None:
    with store.lock("a"), store.lock("b"), store.lock("../../c"):
        assert len(os.listdir(store.path("locks"))) == 3
        assert not store.lock("a").acquire(wait=False)


def test_a_dead_holder_lets_go(store: Store) -> None:
    child = start(store.root, "lock = store.lock('key'); lock.acquire(); print('ready', flush=True); input()")
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    assert not store.lock("key").acquire(wait=False)
    child.kill()
    child.communicate()
    lock = store.lock("key")
    assert lock.acquire(wait=False)
    lock.release()
    lock.release()


def test_waiting_can_be_cancelled(store: Store) -> None:
    cancelled = threading.Event()
    with store.lock("key"):
        threading.Timer(0.02, cancelled.set).start()
        with pytest.raises(Cancelled):
            store.lock("key", cancelled).acquire()


def test_waiting_with_an_event_succeeds(store: Store) -> None:
    lock = store.lock("key")
    lock.acquire()
    threading.Timer(0.02, lock.release).start()
    with store.lock("key", threading.Event()):
        assert not store.lock("key").acquire(wait=False)
