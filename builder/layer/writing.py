"""Writing a planned layer into a directory, in overlayfs form.

Directories get their attributes last, after everything in them, so that their times are right and a mode that forbids
writing does not get in the way.
"""

from __future__ import annotations

import os
import stat
import threading
import time

from builder.errors import ContextError, StoreError
from builder.layer.copyfile import check_unchanged, copy_content, open_unchanged, read_unchanged_link
from builder.layer.destination import Item, kept_xattrs
from builder.layer.newfiles import NewFiles, new_files
from builder.layer.overlay import CAPABILITY_XATTR, XattrPrefix, give
from builder.layer.placement import Unpack
from builder.layer.tree import FileTree
from builder.rooted.root import LIST, Directory, Root


class LayerNotWritten(StoreError):
    code = "layer-not-written"

    def __init__(self, path: str, error: OSError) -> None:
        super().__init__(f"cannot write `/{path}` into the new layer", cause=error.strerror or str(error))


class NotStorable(ContextError):
    code = "not-storable"

    def __init__(self, path: str) -> None:
        super().__init__(f"`{path}` is a device 0:0, which no layer can hold",
                         hint="exclude it in .dockerignore or with --exclude")


class Writer:
    """Fills one layer directory; new directories without a time of their own get `now_ns`.

    Copying files ends with Cancelled soon after the event is set.
    """

    def __init__(self, diff_dir: str, now_ns: int | None, cancelled: threading.Event | None = None) -> None:
        self._cancelled = cancelled or threading.Event()
        self._diff_dir = diff_dir
        self._root = Root(diff_dir, hold=True)
        self._now_ns = time.time_ns() if now_ns is None else now_ns
        self._names: dict[tuple[int, int, int], str] = {}
        """Where the first name of a file with several names was written."""
        self._new = _new_files(self._root)

    def unpack(self, unpack: Unpack, parent: FileTree | None, owner: tuple[int, int] | None,
               xattr_prefix: XattrPrefix) -> None:
        """Extract an archive over what was written so far. Raises ImageErrors, see `extract_archive`."""
        from builder.layer.archive import extract_archive

        self._new = NewFiles()
        with open(open_unchanged(unpack.archive), "rb", buffering=0) as file:
            extract_archive(file, self._diff_dir, unpack.path, below=parent, owner=owner, xattr_prefix=xattr_prefix,
                            on_chown_error="record", what=unpack.archive.path)
            check_unchanged(unpack.archive, file.fileno())

    def write(self, items: tuple[Item, ...]) -> None:
        item: Item | None = None
        try:
            for item in items:
                self._make(item)
            for item in reversed(items):
                if item.is_dir:
                    self._finish_directory(item)
        except OSError as error:
            assert item is not None
            raise LayerNotWritten(item.path, error) from error

    def _make(self, item: Item) -> None:
        parent, name = self._root.locate(item.path)
        if item.is_dir:
            if name:
                _make_directory(parent, name)
            return
        assert item.source is not None
        if item.linked is not None:
            first = self._names.setdefault(item.linked, item.path)
            if first != item.path:
                there, known = self._root.locate(first)
                os.link(known, name, src_dir_fd=there.fd, dst_dir_fd=parent.fd, follow_symlinks=False)
                return
        kind = stat.S_IFMT(item.mode)
        if kind == stat.S_IFREG:
            self._make_file(item, parent, name)
            return
        if kind == stat.S_IFLNK:
            os.symlink(read_unchanged_link(item.source), name, dir_fd=parent.fd)
        else:
            if kind == stat.S_IFCHR and item.source.stat.st_rdev == 0:
                raise NotStorable(item.source.path)
            os.mknod(name, kind | 0o600, item.source.stat.st_rdev if kind != stat.S_IFIFO else 0, dir_fd=parent.fd)
        give(name, item.uid, item.gid, dir_fd=parent.fd)
        if kind != stat.S_IFLNK:
            parent.chmod(name, stat.S_IMODE(item.mode))
        parent.utime(name, self._mtime(item))

    def _make_file(self, item: Item, parent: Directory, name: str) -> None:
        assert item.source is not None
        wanted = stat.S_IMODE(item.mode)
        mode = self._new.mode(wanted)
        target = parent.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            capability = b""
            if not stat.S_ISSOCK(item.source.stat.st_mode):
                capability = copy_content(item.source, target, self._cancelled,
                                          with_capability=item.keeps_capability)
            if (item.uid, item.gid) != self._new.owner:
                give(target, item.uid, item.gid)
            if wanted != mode:
                os.fchmod(target, wanted)
            if capability:
                os.setxattr(target, CAPABILITY_XATTR, capability)
            mtime = self._mtime(item)
            os.utime(target, ns=(mtime, mtime))
        finally:
            os.close(target)

    def _finish_directory(self, item: Item) -> None:
        parent, name = self._root.locate(item.path)
        fd = os.open(name or ".", LIST, dir_fd=parent.fd)
        try:
            if item.below is not None:
                for attribute, value in kept_xattrs(item.below).items():
                    os.setxattr(fd, attribute, value)
            give(fd, item.uid, item.gid)
            os.fchmod(fd, stat.S_IMODE(item.mode))
            mtime = self._mtime(item)
            os.utime(fd, ns=(mtime, mtime))
        finally:
            os.close(fd)

    def _mtime(self, item: Item) -> int:
        return self._now_ns if item.mtime_ns is None else item.mtime_ns


def _new_files(root: Root) -> NewFiles:
    fd = os.open(".", LIST, dir_fd=root.directory("").fd)
    try:
        return new_files(fd)
    finally:
        os.close(fd)


def _make_directory(parent: Directory, name: str) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=parent.fd)
    except FileExistsError:
        """An archive has put it there."""
        if not stat.S_ISDIR(parent.lstat(name).st_mode):
            raise
