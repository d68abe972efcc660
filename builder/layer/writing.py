"""Writing a planned layer into a directory, in overlayfs form.

Directories get their attributes last, after everything in them, so that their times are right and a mode that forbids
writing does not get in the way.
"""

from __future__ import annotations

import os
import stat
import time

from builder.errors import ContextError, StoreError
from builder.layer.copyfile import check_unchanged, copy_content, open_unchanged
from builder.layer.destination import Item, kept_xattrs
from builder.layer.newfiles import NewFiles, new_files
from builder.layer.overlay import CAPABILITY_XATTR, XattrPrefix, give
from builder.layer.placement import Unpack
from builder.layer.tree import FileTree


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
    """Fills one layer directory; new directories without a time of their own get `now_ns`."""

    def __init__(self, diff_dir: str, now_ns: int | None) -> None:
        self._diff_dir = diff_dir
        self._now_ns = time.time_ns() if now_ns is None else now_ns
        self._names: dict[tuple[int, int, int], str] = {}
        """Where the first name of a file with several names was written."""
        self._new = _new_files(diff_dir)

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
                self._make(item, self._host(item))
            for item in reversed(items):
                if item.is_dir:
                    self._finish_directory(item, self._host(item))
        except OSError as error:
            assert item is not None
            raise LayerNotWritten(item.path, error) from error

    def _host(self, item: Item) -> str:
        return f"{self._diff_dir}/{item.path}" if item.path else self._diff_dir

    def _make(self, item: Item, host: str) -> None:
        if item.is_dir:
            if item.path:
                _make_directory(host)
            return
        assert item.source is not None
        if item.linked is not None:
            first = self._names.setdefault(item.linked, host)
            if first != host:
                os.link(first, host, follow_symlinks=False)
                return
        kind = stat.S_IFMT(item.mode)
        if kind == stat.S_IFREG:
            self._make_file(item, host)
        elif kind == stat.S_IFLNK:
            os.symlink(os.readlink(item.source.host), host)
            give(host, item.uid, item.gid)
        else:
            if kind == stat.S_IFCHR and item.source.stat.st_rdev == 0:
                raise NotStorable(item.source.path)
            os.mknod(host, kind | 0o600, item.source.stat.st_rdev if kind != stat.S_IFIFO else 0)
            give(host, item.uid, item.gid)
            os.chmod(host, stat.S_IMODE(item.mode))
        if kind != stat.S_IFREG:
            self._set_mtime(item, host)

    def _make_file(self, item: Item, host: str) -> None:
        assert item.source is not None
        wanted = stat.S_IMODE(item.mode)
        mode = self._new.mode(wanted)
        target = os.open(host, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            capability = b""
            if not stat.S_ISSOCK(item.source.stat.st_mode):
                capability = copy_content(item.source, target, with_capability=item.keeps_capability)
            if (item.uid, item.gid) != self._new.owner:
                give(target, item.uid, item.gid)
            if wanted != mode:
                os.fchmod(target, wanted)
            if capability:
                os.setxattr(target, CAPABILITY_XATTR, capability)
            self._set_mtime(item, target)
        finally:
            os.close(target)

    def _finish_directory(self, item: Item, host: str) -> None:
        if item.below is not None:
            for name, value in kept_xattrs(item.below).items():
                os.setxattr(host, name, value)
        give(host, item.uid, item.gid)
        os.chmod(host, stat.S_IMODE(item.mode))
        self._set_mtime(item, host)

    def _set_mtime(self, item: Item, target: str | int) -> None:
        mtime = self._now_ns if item.mtime_ns is None else item.mtime_ns
        if isinstance(target, int):
            os.utime(target, ns=(mtime, mtime))
        else:
            os.utime(target, ns=(mtime, mtime), follow_symlinks=False)


def _new_files(diff_dir: str) -> NewFiles:
    fd = os.open(diff_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return new_files(fd)
    finally:
        os.close(fd)


def _make_directory(host: str) -> None:
    try:
        os.mkdir(host, 0o700)
    except FileExistsError:
        """An archive has put it there."""
        if not stat.S_ISDIR(os.lstat(host).st_mode):
            raise
