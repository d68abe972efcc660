"""Several layer directories made one (--squash): what overlayfs would show of them together, as one layer.

Files are hard links to those of the layers, which nobody changes any more.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from builder.layer.overlay import XattrPrefix, is_opaque, is_whiteout, make_whiteout, set_opaque
from builder.rooted.removing import remove_path


def squash(layer_dirs: Sequence[str], target_dir: str, *, xattr_prefix: XattrPrefix, on_base: bool) -> None:
    """Fills the empty `target_dir` with the layers, bottom first, all in one file system with it.

    With `on_base` there are layers below: what these hide of them stays hidden. Without, nothing is left to hide.
    """
    merge = _Merge(xattr_prefix, on_base=on_base)
    for layer_dir in layer_dirs:
        merge.add(layer_dir, target_dir)
    merge.finish()


class _Merge:
    def __init__(self, xattr_prefix: XattrPrefix, *, on_base: bool) -> None:
        self._xattr_prefix = xattr_prefix
        self._on_base = on_base
        self._times: dict[str, tuple[int, int]] = {}

    def add(self, layer_dir: str, target_dir: str) -> None:
        self._directory(layer_dir, target_dir)
        pending = [(layer_dir, target_dir)]
        while pending:
            source, target = pending.pop()
            with os.scandir(source) as entries:
                for entry in entries:
                    path = os.path.join(target, entry.name)
                    status = entry.stat(follow_symlinks=False)
                    if is_whiteout(status):
                        _remove(path)
                        if self._on_base:
                            make_whiteout(path)
                    elif stat.S_ISDIR(status.st_mode):
                        self._directory(entry.path, path)
                        pending.append((entry.path, path))
                    else:
                        _remove(path)
                        os.link(entry.path, path, follow_symlinks=False)

    def finish(self) -> None:
        """Sets the times of the directories, which filling them has changed."""
        for path, times in reversed(self._times.items()):
            if os.path.isdir(path) and not os.path.islink(path):
                os.utime(path, ns=times)

    def _directory(self, source: str, target: str) -> None:
        """Makes `target`, where there is not already a directory, one with the attributes of `source`."""
        hides = is_opaque(source)
        existing = _lstat(target)
        if existing is not None and not stat.S_ISDIR(existing.st_mode):
            # What it stood in the way of below stays hidden.
            os.unlink(target)
            existing, hides = None, True
        elif existing is not None and hides:
            for name in os.listdir(target):
                _remove(os.path.join(target, name))
        if existing is None:
            os.mkdir(target)
        hides = hides or is_opaque(target)
        _copy_attributes(source, target)
        if hides and self._on_base:
            set_opaque(target, self._xattr_prefix)
        status = os.lstat(source)
        self._times[target] = (status.st_atime_ns, status.st_mtime_ns)


def _copy_attributes(source: str, target: str) -> None:
    status = os.lstat(source)
    os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, stat.S_IMODE(status.st_mode))
    for name in os.listxattr(target):
        os.removexattr(target, name)
    for name in os.listxattr(source):
        if ".overlay." not in name:
            os.setxattr(target, name, os.getxattr(source, name))


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _remove(path: str) -> None:
    remove_path(path)
