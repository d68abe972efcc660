"""A context whose files change while it is read: what is new is copied aside as it is met, and is read from there.

The copies are what a build is made of then, as if it had been sent them; what is gone when it is met is not there.
Files that have not changed for a while are read in place; so are those with several names, which copies would part.
"""

from __future__ import annotations

import contextlib
import os
import stat

from builder.context.local import ListedContext, LocalContext, Unreadable
from builder.layer.copyfile import CHANGED
from builder.layer.overlay import CAPABILITY_XATTR
from builder.layer.tree import Entry
from builder.rooted.root import Root

_PIECE = 1 << 20


class SettledContext(ListedContext):
    """A moment of `of`, more or less: files whose status changed after `since_ns` are copied into `folder`."""

    def __init__(self, of: LocalContext, folder: str, since_ns: int) -> None:
        super().__init__(of)
        self.named = of.named
        self._aside = Root(folder, hold=True)
        self._since_ns = since_ns
        self._met: dict[str, Entry | None] = {}

    def _at(self, path: str) -> Entry | None:
        entry = super()._at(path)
        return None if entry is None else self._settled(entry)

    def _list(self, path: str) -> list[Entry]:
        if path not in self._listings:
            try:
                found = [self._settled(entry) for entry in super()._list(path)]
            except Unreadable as error:
                if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in CHANGED:
                    raise
                found = []  # it was a directory a moment ago
            self._listings[path] = [entry for entry in found if entry is not None]
        return self._listings[path].copy()

    def _settled(self, entry: Entry) -> Entry | None:
        status = entry.stat
        if status.st_ctime_ns <= self._since_ns or status.st_nlink > 1 or not (entry.is_file or entry.is_link):
            return entry
        if entry.path not in self._met:
            try:
                self._met[entry.path] = self._copy(entry)
            except OSError as error:
                self._met[entry.path] = None if error.errno in CHANGED else entry
        return self._met[entry.path]

    def _copy(self, entry: Entry) -> Entry:
        *parents, name = entry.path.split("/")
        folder = self._aside.directory("")
        for parent in parents:
            with contextlib.suppress(FileExistsError):
                os.mkdir(parent, 0o700, dir_fd=folder.fd)
            folder = folder.enter(parent)
        if entry.is_link:
            os.symlink(entry.readlink(), name, dir_fd=folder.fd)
            folder.utime(name, entry.stat.st_mtime_ns, entry.stat.st_atime_ns)
        else:
            source = entry.open()
            try:
                _copy_file(source, os.fstat(source), folder.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
            finally:
                os.close(source)
        return Entry(entry.path, self._aside, folder.lstat(name))


def _copy_file(source: int, status: os.stat_result, target: int) -> None:
    """As much as it has by now, with mode, owner, times and capability; what is written later is another build's."""
    try:
        left = status.st_size
        while left > 0 and (count := os.sendfile(target, source, None, min(left, _PIECE))):
            left -= count
        with contextlib.suppress(OSError):
            os.fchown(target, status.st_uid, status.st_gid)
        os.fchmod(target, stat.S_IMODE(status.st_mode))
        with contextlib.suppress(OSError):
            os.setxattr(target, CAPABILITY_XATTR, os.getxattr(source, CAPABILITY_XATTR))
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    finally:
        os.close(target)
