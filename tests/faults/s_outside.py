"""S13: a context that somebody else changes while root reads it."""

from __future__ import annotations

import ctypes
import os
import threading
import time

from .check import Verdict, check, right_if
from .lab import Lab, StillRunning, Tree

_LIBC = ctypes.CDLL(None, use_errno=True)
EXCHANGE = 2


def _swap(one: bytes, other: bytes) -> None:
    _LIBC.renameat2(-100, one, -100, other, EXCHANGE)


@check("S13", "swapped-directory", "a directory of the context is swapped for a link while it is read", "copy",
       seconds=30)
@check("S13", "swapped-bind", "the same for a bind mount of the context", "bind", seconds=30, slow=True)
@check("S13", "swapped-file", "a file of the context is swapped for a link while it is read", "file", seconds=30,
       slow=True)
def swapped(lab: Lab, how: str) -> Verdict:
    canary = lab.canary()
    (canary / "f").write_text("HOST-SECRET\n")
    pairs = []
    for number in range(200):
        good = lab.put(f"d/{number}/f", "good\n")
        bad = lab.dir / "bad" / str(number)
        bad.parent.mkdir(exist_ok=True)
        bad.symlink_to(canary / "f" if how == "file" else canary)
        pairs.append((os.fsencode(good if how == "file" else good.parent), os.fsencode(bad)))
    over = threading.Event()

    def change() -> None:
        while not over.is_set():
            for pair in pairs:
                _swap(*pair)
    dockerfile = "FROM base\nCOPY d /d\n" if how != "bind" else (
        "FROM base\nRUN --mount=target=/m cp -r /m/d /d || true\n")
    thread = threading.Thread(target=change)
    thread.start()
    taken = builds = 0
    archive = lab.dir / "tree.tar"
    try:
        end = time.monotonic() + lab.seconds / 2
        while time.monotonic() < end and not taken:
            builds += 1
            done = lab.build(dockerfile, "--no-cache", "-o", f"type=tar,dest={archive}")
            if done.code == 0:
                tree = Tree(archive.read_bytes())
                taken = sum(tree[name].isreg() and "HOST-SECRET" in tree.text(name)
                            for name in tree.entries if name.startswith("d/"))
    except StillRunning:
        pass
    finally:
        over.set()
        thread.join()
    return right_if(not taken, f"{taken} files from outside after {builds} builds")
