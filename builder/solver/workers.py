"""The threads that vertices are solved on: as many as were ever busy at once; handing on costs less than starting."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Workers(Generic[Answer]):
    """Calls `work` with the numbers that are given, each on a thread; `done` has (number, answer) in order of ending.

    `work` does not raise. Used from one thread, which must call `end`.
    """

    def __init__(self, work: Callable[[int], Answer]) -> None:
        self.done: SimpleQueue[tuple[int, Answer]] = SimpleQueue()
        self._work = work
        self._given: SimpleQueue[int | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._started = 0

    def give(self, number: int) -> None:
        if not self._idle.acquire(blocking=False):
            self._started += 1
            threading.Thread(target=self._run, name=f"vertices-{self._started}").start()
        self._given.put(number)

    def do(self, number: int) -> None:
        """On the calling thread."""
        self.done.put((number, self._work(number)))

    def end(self) -> None:
        """Ends the threads as soon as they have done what was given."""
        for _ in range(self._started):
            self._given.put(None)

    def _run(self) -> None:
        while (number := self._given.get()) is not None:
            answer = self._work(number)
            self._idle.release()  # before anyone who hears of the answer looks for an idle thread
            self.done.put((number, answer))
