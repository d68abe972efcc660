"""Containers without overlayfs, the last rung of the ladder: layers are copied together, and what a step changed is
found by comparing afterwards. Slow, with the same result: the upper directory is as an overlay would have left it.

Changes are found by inode number and ctime, which no process can set, so that nothing has to be read. Of directories
the inode's generation counts too: the number of one that was removed may come back at once.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator

import msgspec

from builder.errors import SandboxError
from builder.rooted import resolving
from builder.rooted.removing import remove_path
from builder.sandbox.container import Bind, Container, ContainerMount, Exit, Overlay, OverlayMount

_OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")
_OVERLAY_KEYS = ("trusted.overlay.", "user.overlay.")


class NoWhiteouts(SandboxError):
    """The step removed something, which a layer on this file system cannot say."""

    code = "no-whiteouts"

    def __init__(self, folder: str) -> None:
        super().__init__(f"the file system of `{folder}` cannot hold whiteouts, which layers need for what is removed",
                         hint="put the state folder elsewhere (`--root`), on a volume rather than on an overlay")


_GETVERSION = 0x80087601  # FS_IOC_GETVERSION (linux/fs.h, 64-bit long)

_Mark = tuple[int, int, int, int]
"""File type, inode number, generation, by which a file is known, and ctime."""
_Seen = dict[str, _Mark]
"""By path inside the root."""


def run_copied(run: Callable[[Container], Exit], container: Container, *, userxattr: bool) -> Exit:
    """Runs `container` with all of its overlays replaced by copies in the root's work directory.

    `run` gets a container whose root is a plain directory. What it changes goes to the root's upper directory.
    """
    root = container.root
    copies_dir = os.path.join(root.work, "copies")
    os.mkdir(copies_dir, 0o700)
    try:
        top_dir = _materialize(root, f"{copies_dir}/root")
        mounts = tuple(_plain(mount, f"{copies_dir}/{number}") for number, mount in enumerate(container.mounts))
        _make_mount_points(top_dir, mounts)
        before = dict(_snapshot(top_dir))
        ended = run(msgspec.structs.replace(container, root=Overlay(lowers=(), upper=top_dir), mounts=mounts))
        if root.upper:
            _extract(top_dir, before, root.upper, opaque=_OPAQUE[1] if userxattr else _OPAQUE[0])
        return ended
    finally:
        remove_path(copies_dir)


def _materialize(overlay: Overlay, top_dir: str) -> str:
    """Makes `top_dir` what the overlay shows."""
    os.mkdir(top_dir, 0o755)
    for layer_dir in (*overlay.lowers, *((overlay.upper,) if overlay.upper else ())):
        _apply(layer_dir, top_dir)
        _copy_attributes(layer_dir, top_dir)
    return top_dir


def _apply(layer_dir: str, top_dir: str) -> None:
    # Hard links become files of their own: on an overlay, too, a write to one name does not show in the other.
    for entry in os.scandir(layer_dir):
        status = entry.stat(follow_symlinks=False)
        target = f"{top_dir}/{entry.name}"
        is_dir = stat.S_ISDIR(status.st_mode)
        if not is_dir or not _is_real_dir(target) or _is_opaque(entry.path):
            _remove(target)
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
            continue
        if is_dir:
            if not _is_real_dir(target):
                os.mkdir(target)
            _apply(entry.path, target)
        else:
            _copy_node(entry.path, status, target)
        _copy_attributes(entry.path, target)


def _copy_node(source: str, status: os.stat_result, target: str) -> None:
    if stat.S_ISREG(status.st_mode):
        shutil.copyfile(source, target, follow_symlinks=False)
    elif stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(source), target)
    else:
        os.mknod(target, status.st_mode, status.st_rdev)


def _copy_attributes(source: str, target: str) -> None:
    status = os.lstat(source)
    os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
    for key in os.listxattr(source, follow_symlinks=False):
        if not key.startswith(_OVERLAY_KEYS):
            os.setxattr(target, key, os.getxattr(source, key, follow_symlinks=False), follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(target, stat.S_IMODE(status.st_mode))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def _plain(mount: ContainerMount, copy_dir: str) -> ContainerMount:
    if not isinstance(mount, OverlayMount):
        return mount
    _materialize(mount.overlay, copy_dir)
    return Bind(target=mount.target, source=copy_dir, subpath=mount.subpath, readonly=mount.readonly)


def _make_mount_points(top_dir: str, mounts: tuple[ContainerMount, ...]) -> None:
    """Makes them before the snapshot is taken, so that they do not count as changes."""
    root = os.open(top_dir, os.O_PATH | os.O_DIRECTORY)
    try:
        covered: list[tuple[str, ...]] = [("proc",), ("dev",), ("sys",)]
        for mount in mounts:
            place = resolving.walk(root, mount.target)
            if any(place.names[: len(other)] == other for other in covered):
                os.close(place.fd)
            else:
                directory = _is_directory(mount) if isinstance(mount, Bind) else hasattr(mount, "size")
                os.close(resolving.make_target(place, directory=directory))
            covered.append(place.names)
    finally:
        os.close(root)


def _is_directory(mount: Bind) -> bool:
    top = os.open(mount.source, os.O_PATH)
    place = resolving.walk(top, mount.subpath)
    try:
        return resolving.is_directory(place.fd)
    finally:
        os.close(place.fd)
        os.close(top)


def _snapshot(top_dir: str, prefix: str = "") -> Iterator[tuple[str, _Mark]]:
    for entry in os.scandir(top_dir):
        status = entry.stat(follow_symlinks=False)
        generation = _generation(entry.path) if stat.S_ISDIR(status.st_mode) else 0
        yield prefix + entry.name, (stat.S_IFMT(status.st_mode), status.st_ino, generation, status.st_ctime_ns)
        if stat.S_ISDIR(status.st_mode):
            yield from _snapshot(entry.path, f"{prefix}{entry.name}/")


def _generation(directory: str) -> int:
    """Differs between inodes that had one number after another; 0 where the file system does not tell."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return int.from_bytes(fcntl.ioctl(fd, _GETVERSION, bytes(8))[:4], sys.byteorder)
    except OSError:
        return 0
    finally:
        os.close(fd)


def _extract(top_dir: str, before: _Seen, upper_dir: str, *, opaque: str) -> None:
    """Moves what is new or changed into `upper_dir`, and puts whiteouts there for what is gone."""
    after = dict(_snapshot(top_dir))
    made: dict[str, str] = {}
    for path, seen in sorted(after.items()):
        if before.get(path) == seen:
            continue
        source, target = f"{top_dir}/{path}", f"{upper_dir}/{path}"
        _make_parents(path, top_dir, upper_dir, made)
        if _is_real_dir(source):
            if not _is_real_dir(target):
                _remove(target)
                os.mkdir(target)
            made[path] = source
            # Where the file system has no generations, whiteouts may hide the old content instead.
            if path in before and before[path][:3] != seen[:3]:
                os.setxattr(target, opaque, b"y")
        else:
            _remove(target)
            os.rename(source, target)
    for path in sorted(before.keys() - after.keys()):
        parent = os.path.dirname(path)
        # What lies in a directory that is gone, or that has been made anew, is gone with it.
        if parent and (parent not in after or after[parent][:3] != before[parent][:3]):
            continue
        _make_parents(path, top_dir, upper_dir, made)
        _remove(f"{upper_dir}/{path}")
        try:
            os.mknod(f"{upper_dir}/{path}", stat.S_IFCHR, 0)
        except PermissionError:
            raise NoWhiteouts(upper_dir) from None
    _copy_attributes(top_dir, upper_dir)
    for path in sorted(made, reverse=True):
        _copy_attributes(made[path], f"{upper_dir}/{path}")


def _make_parents(path: str, top_dir: str, upper_dir: str, made: dict[str, str]) -> None:
    parent = os.path.dirname(path)
    if not parent or _is_real_dir(f"{upper_dir}/{parent}"):
        return
    _make_parents(parent, top_dir, upper_dir, made)
    os.mkdir(f"{upper_dir}/{parent}")
    made[parent] = f"{top_dir}/{parent}"


def _is_real_dir(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _is_opaque(path: str) -> bool:
    return any(key in _OPAQUE for key in os.listxattr(path, follow_symlinks=False))


def _remove(path: str) -> None:
    remove_path(path)
