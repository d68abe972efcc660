"""Work to be done in another network namespace: by a thread that ends with it, as a thread can be in one of its own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TypeVar

from builder.sandbox.runtime import kernel

Made = TypeVar("Made")


def in_namespace(path: str, action: Callable[[], Made]) -> Made:
    """What `action` returns or raises in the network namespace that the file stands for. Raises OSError."""
    def join() -> Made:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            kernel.setns(fd, kernel.CLONE_NEWNET)
        finally:
            os.close(fd)
        return action()

    return _in_thread(join)


def in_new_namespace(action: Callable[[int], Made]) -> Made:
    """The same in a new one; `action` gets a descriptor that stands for it, and keeps it alive until it is closed."""
    def leave() -> Made:
        kernel.unshare(kernel.CLONE_NEWNET)
        fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return action(fd)
        except BaseException:
            os.close(fd)
            raise

    return _in_thread(leave)


def _in_thread(action: Callable[[], Made]) -> Made:
    made: list[Made] = []
    raised: list[BaseException] = []

    def work() -> None:
        try:
            made.append(action())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    return made[0]
