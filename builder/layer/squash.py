"""Several layer directories made one (--squash): what overlayfs would show of them together, as one layer.

Files are hard links to those of the layers, which nobody changes any more.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Sequence

from builder.layer.overlay import XattrPrefix, is_opaque, is_whiteout, make_whiteout, set_opaque
from builder.rooted.removing import remove
from builder.rooted.root import LIST, Directory, Root


def squash(layer_dirs: Sequence[str], target_dir: str, *, xattr_prefix: XattrPrefix, on_base: bool) -> None:
    """Fills the empty `target_dir` with the layers, bottom first, all in one file system with it.

    With `on_base` there are layers below: what these hide of them stays hidden. Without, nothing is left to hide.
    """
    merge = _Merge(target_dir, xattr_prefix, on_base=on_base)
    for layer_dir in layer_dirs:
        merge.add(Root(layer_dir, hold=True))
    merge.finish()


class _Merge:
    def __init__(self, target_dir: str, xattr_prefix: XattrPrefix, *, on_base: bool) -> None:
        self._target = Root(target_dir, hold=True)
        self._xattr_prefix: XattrPrefix = xattr_prefix
        self._on_base = on_base
        self._times: dict[str, tuple[int, int]] = {}

    def add(self, layer: Root) -> None:
        self._directory(layer, "")
        pending = [""]
        while pending:
            path = pending.pop()
            source, target = layer.directory(path), self._target.directory(path)
            for name in source.names():
                inner = f"{path}/{name}" if path else name
                status = source.lstat(name)
                if is_whiteout(status):
                    remove(target.fd, name)
                    if self._on_base:
                        make_whiteout(name, dir_fd=target.fd)
                elif stat.S_ISDIR(status.st_mode):
                    self._directory(layer, inner)
                    pending.append(inner)
                else:
                    remove(target.fd, name)
                    os.link(name, name, src_dir_fd=source.fd, dst_dir_fd=target.fd, follow_symlinks=False)

    def finish(self) -> None:
        """Sets the times of the directories, which filling them has changed."""
        for path, (atime, mtime) in reversed(self._times.items()):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                self._target.directory(path).utime("", mtime, atime)

    def _directory(self, layer: Root, path: str) -> None:
        """Makes a directory of the target, where there is not already one, with the attributes of the layer's."""
        parent, name = self._target.locate(path)
        hides = is_opaque(layer, path)
        existing = _kind(parent, name)
        if existing not in (None, stat.S_IFDIR):
            # What it stood in the way of below stays hidden.
            os.unlink(name, dir_fd=parent.fd)
            existing, hides = None, True
        elif existing is not None and hides:
            inside = self._target.directory(path)
            for inner in inside.names():
                remove(inside.fd, inner)
        if existing is None:
            os.mkdir(name, dir_fd=parent.fd)
        hides = hides or is_opaque(parent, name)
        status = layer.lstat(path)
        fd = os.open(name or ".", LIST, dir_fd=parent.fd)
        try:
            _copy_attributes(layer, path, status, fd)
            if hides and self._on_base:
                set_opaque(fd, self._xattr_prefix)
        finally:
            os.close(fd)
        self._times[path] = (status.st_atime_ns, status.st_mtime_ns)


def _copy_attributes(layer: Root, path: str, status: os.stat_result, target: int) -> None:
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    for name in os.listxattr(target):
        os.removexattr(target, name)
    for name in layer.listxattr(path):
        if ".overlay." not in name:
            os.setxattr(target, name, layer.getxattr(path, name))


def _kind(parent: Directory, name: str) -> int | None:
    if not name:
        return stat.S_IFDIR
    try:
        return stat.S_IFMT(parent.lstat(name).st_mode)
    except FileNotFoundError:
        return None
