"""A session: what one open Store is working on, visible to other processes.

A session has a folder stage/<id>/ with its unfinished work and the file `pins`, which it keeps locked as long as it
lives. What stands in `pins` is in use: one object a line, `layer <id>` or `blob <digest>`. The folder is made when it
is first needed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Callable

from builder.errors import StoreError
from builder.store.locks import Lock, is_locked

TRASH = "trash-"
_PATIENCE = 5.0
"""Seconds that closing waits for what is being removed; the rest is left for the next sweep."""


class Session:
    """This handle's part of stage/; usable from several threads. Closing it removes its folder and with it its pins."""

    def __init__(self, root: str) -> None:
        self._stage = os.path.join(root, "stage")
        self._commit_lock = os.path.join(root, "locks", "commit")
        self._mutex = threading.Lock()
        self._folder = ""
        self._fd = -1
        self._count = 0
        self._removing: list[threading.Thread] = []
        self._pinned: set[str] = set()
        self.leases = 0
        """How many leases of this handle are held; pins last while there is one."""

    def committing(self) -> Lock:
        """Held for a rename and its row, and for pinning what must not vanish in between."""
        return Lock(self._commit_lock, exclusive=False)

    def deleting(self) -> Lock:
        """Held for reading pins, removing rows and renaming files away; excludes every `committing`."""
        return Lock(self._commit_lock, exclusive=True)

    def start(self) -> str:
        """The session's id; from now on others see it as alive."""
        with self._mutex:
            return os.path.basename(self._start())

    def new_folder(self) -> str:
        """An empty private folder, removed by a later process should this one die."""
        with self._mutex:
            path = os.path.join(self._start(), str(self._count))
            self._count += 1
        os.mkdir(path, 0o700)
        return path

    def is_pinned(self, item: str) -> bool:
        return item in self._pinned

    def pin(self, *items: str) -> None:
        """Marks objects as in use until the last lease ends; nothing without a lease. Call it under `committing`."""
        with self._mutex:
            if not self.leases:
                return
            new = [item for item in items if item not in self._pinned]
            if new:
                self._start()
                os.write(self._fd, "".join(f"{item}\n" for item in new).encode())
                self._pinned.update(new)

    def lease(self) -> None:
        with self._mutex:
            self.leases += 1

    def release(self) -> None:
        """Ends one lease; with the last one all pins go."""
        with self._mutex:
            self.leases -= 1
            if not self.leases:
                if self._fd >= 0:
                    os.ftruncate(self._fd, 0)
                self._pinned.clear()

    def pins_of_all(self) -> set[str]:
        """What any living session uses. Call it under `deleting`, else the answer is old when it arrives."""
        pins: set[str] = set()
        for name in os.listdir(self._stage):
            file = os.path.join(self._stage, name, "pins")
            if not name.startswith(TRASH) and is_locked(file):
                with contextlib.suppress(FileNotFoundError), open(file, encoding="utf-8") as lines:
                    pins.update(line.rstrip("\n") for line in lines)
        return pins

    def throw_away(self, path: str) -> str:
        """Renames a file or folder into the trash; returns where it is now, "" if it was gone."""
        target = os.path.join(self._stage, TRASH + os.urandom(8).hex())
        try:
            os.rename(path, target)
        except FileNotFoundError:
            return ""
        return target

    def remove_later(self, path: str) -> None:
        """Takes a file or folder out of the way at once and removes it in the background, or by the next sweep."""
        trash = self.throw_away(path)
        if trash:
            from builder.rooted.removing import remove_path

            self._removing.append(self._in_background(lambda: remove_path(trash)))

    def remove_all(self, trash: list[str]) -> None:
        """Removes what `throw_away` returned. What cannot be removed stays for the next sweep."""
        from builder.rooted.removing import remove_path

        for path in trash:
            if path:
                with contextlib.suppress(OSError):
                    remove_path(path)

    def _in_background(self, work: Callable[[], object]) -> threading.Thread:
        def run() -> None:
            with contextlib.suppress(OSError, StoreError):  # what resists stays for the next sweep
                work()

        thread = threading.Thread(target=run, name="store-cleaner", daemon=True)
        thread.start()
        return thread

    def dead(self) -> list[str]:
        """Folders of sessions that have ended without closing, and trash. Call it under `deleting`."""
        found = []
        for name in os.listdir(self._stage):
            path = os.path.join(self._stage, name)
            if name.startswith(TRASH) or not is_locked(os.path.join(path, "pins")):
                found.append(path)
        return found

    def sweep(self) -> int:
        """Removes what dead sessions left, and trash; returns how many entries. Slow where there is much."""
        with self.deleting():
            entries = [path if os.path.basename(path).startswith(TRASH) else self.throw_away(path)
                       for path in self.dead()]
        self.remove_all(entries)
        return len(entries)

    def close(self) -> None:
        end = time.monotonic() + _PATIENCE if self._removing else 0.0
        for thread in self._removing:
            thread.join(max(end - time.monotonic(), 0))
        with self._mutex:
            if self._fd < 0:
                return
            trash = self._folder
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(trash, "pins"))
                os.rmdir(trash)
                trash = ""
            os.close(self._fd)
            self._fd, self._folder = -1, ""
            self._pinned.clear()
        if trash:
            from builder.rooted.removing import remove_path

            remove_path(trash)

    def _start(self) -> str:
        if self._fd < 0:
            folder = os.path.join(self._stage, os.urandom(8).hex())
            with self.committing():  # nobody looks for dead sessions while this one is made
                os.mkdir(folder, 0o700)
                fd = os.open(os.path.join(folder, "pins"), os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
                fcntl.flock(fd, fcntl.LOCK_EX)
            self._folder, self._fd = folder, fd
            if len(os.listdir(self._stage)) > 1:
                self._in_background(self.sweep)
        return self._folder
