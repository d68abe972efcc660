from __future__ import annotations

import threading

from builder.solver.workers import Workers


def test_one_after_the_other_takes_one_thread() -> None:
    workers = Workers(lambda number: threading.get_ident())
    try:
        threads = set()
        for number in range(200):
            workers.give(number)
            answered, thread = workers.done.get(timeout=10)
            assert answered == number
            threads.add(thread)
    finally:
        workers.end()
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_what_is_given_at_once_runs_at_once() -> None:
    together = threading.Barrier(5, timeout=10)
    workers = Workers(lambda number: together.wait() >= 0)
    try:
        for number in range(5):
            workers.give(number)
        assert sorted(workers.done.get(timeout=10) for _ in range(5)) == [(number, True) for number in range(5)]
    finally:
        workers.end()


def test_done_here_is_done_on_this_thread() -> None:
    before = threading.active_count()
    workers = Workers(lambda number: threading.get_ident())
    workers.do(7)
    workers.end()
    assert workers.done.get(timeout=10) == (7, threading.get_ident())
    assert threading.active_count() == before


def test_the_end_ends_the_threads() -> None:
    release = threading.Event()
    workers = Workers(lambda number: release.wait(10))
    before = set(threading.enumerate())
    for number in range(3):
        workers.give(number)
    mine = set(threading.enumerate()) - before
    workers.end()
    release.set()
    for thread in mine:
        thread.join(timeout=10)
    assert len(mine) == 3
    assert not any(thread.is_alive() for thread in mine)
