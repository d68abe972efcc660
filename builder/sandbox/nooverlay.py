"""Containers without overlayfs, the last rung of the ladder: layers are copied together, and what a step changed is
found by comparing afterwards. Slow, with the same result: the upper directory is as an overlay would have left it.

Changes are found by inode number and ctime, which no process can set, so that nothing has to be read. Of directories
the inode's generation counts too: the number of one that was removed may come back at once.
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys
from collections.abc import Callable, Iterator

import msgspec

from builder.errors import SandboxError
from builder.rooted import resolving
from builder.rooted.removing import remove, remove_path
from builder.rooted.root import LIST, Directory, Root
from builder.sandbox.container import Bind, Container, ContainerMount, Exit, Overlay, OverlayMount

_OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")
_OVERLAY_KEYS = ("trusted.overlay.", "user.overlay.")
_PIECE = 1 << 24


class NoWhiteouts(SandboxError):
    """The step removed something, which a layer on this file system cannot say."""

    code = "no-whiteouts"

    def __init__(self, folder: str) -> None:
        super().__init__(f"the file system of `{folder}` cannot hold whiteouts, which layers need for what is removed",
                         hint="put the state folder (`--root`) on a volume rather than on an overlay")


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
        top_dir = f"{copies_dir}/root"
        top = _materialize(root, top_dir)
        mounts = tuple(_plain(mount, f"{copies_dir}/{number}") for number, mount in enumerate(container.mounts))
        _make_mount_points(top, mounts)
        before = dict(_snapshot(top))
        ended = run(msgspec.structs.replace(container, root=Overlay(lowers=(), upper=top_dir), mounts=mounts))
        if root.upper:
            _Extraction(top, Root(root.upper, hold=True), before, _OPAQUE[1] if userxattr else _OPAQUE[0]).run()
        return ended
    finally:
        remove_path(copies_dir)


def _materialize(overlay: Overlay, top_dir: str) -> Root:
    """Makes `top_dir` what the overlay shows."""
    os.mkdir(top_dir, 0o755)
    top = Root(top_dir, hold=True)
    for layer_dir in (*overlay.lowers, *((overlay.upper,) if overlay.upper else ())):
        _apply(Root(layer_dir, hold=True), top)
    return top


def _apply(layer: Root, top: Root) -> None:
    # Hard links become files of their own: on an overlay, too, a write to one name does not show in the other.
    directories = [""]
    pending = [""]
    while pending:
        path = pending.pop()
        source, target = layer.directory(path), top.directory(path)
        for name in source.names():
            status = source.lstat(name)
            is_dir = stat.S_ISDIR(status.st_mode)
            merges = is_dir and _is_real_dir(target, name) and not _is_opaque(source, name)
            if not merges:
                remove(target.fd, name)
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                continue
            if is_dir:
                if not merges:
                    os.mkdir(name, dir_fd=target.fd)
                inner = f"{path}/{name}" if path else name
                pending.append(inner)
                directories.append(inner)
            else:
                _copy_node(source, name, status, target)
                _copy_attributes(source, target, name)
    for path in reversed(directories):
        _copy_attributes(layer.directory(path), top.directory(path), "")


def _copy_node(source: Directory, name: str, status: os.stat_result, target: Directory) -> None:
    if stat.S_ISREG(status.st_mode):
        with (open(source.open(name), "rb", buffering=0) as reader,
              open(target.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb", buffering=0) as writer):
            while os.sendfile(writer.fileno(), reader.fileno(), None, _PIECE):
                pass
    elif stat.S_ISLNK(status.st_mode):
        os.symlink(source.readlink(name), name, dir_fd=target.fd)
    else:
        os.mknod(name, status.st_mode, status.st_rdev, dir_fd=target.fd)


def _copy_attributes(source: Directory, target: Directory, name: str) -> None:
    """Of `name` in both; "" for the directories themselves."""
    status = source.lstat(name)
    target.chown(name, status.st_uid, status.st_gid)
    for key in source.listxattr(name):
        if not key.startswith(_OVERLAY_KEYS):
            target.setxattr(name, key, source.getxattr(name, key))
    if not stat.S_ISLNK(status.st_mode):
        target.chmod(name, stat.S_IMODE(status.st_mode))
    target.utime(name, status.st_mtime_ns, status.st_atime_ns)


def _plain(mount: ContainerMount, copy_dir: str) -> ContainerMount:
    if not isinstance(mount, OverlayMount):
        return mount
    _materialize(mount.overlay, copy_dir)
    return Bind(target=mount.target, source=copy_dir, subpath=mount.subpath, readonly=mount.readonly)


def _make_mount_points(top: Root, mounts: tuple[ContainerMount, ...]) -> None:
    """Makes them before the snapshot is taken, so that they do not count as changes."""
    covered: list[tuple[str, ...]] = [("proc",), ("dev",), ("sys",)]
    for mount in mounts:
        place = resolving.walk(top.directory("").fd, mount.target)
        if any(place.names[: len(other)] == other for other in covered):
            os.close(place.fd)
        else:
            directory = _is_directory(mount) if isinstance(mount, Bind) else hasattr(mount, "size")
            os.close(resolving.make_target(place, directory=directory))
        covered.append(place.names)


def _is_directory(mount: Bind) -> bool:
    top = os.open(mount.source, os.O_PATH)
    place = resolving.walk(top, mount.subpath)
    try:
        return resolving.is_directory(place.fd)
    finally:
        os.close(place.fd)
        os.close(top)


def _snapshot(top: Root) -> Iterator[tuple[str, _Mark]]:
    pending = [""]
    while pending:
        path = pending.pop()
        directory = top.directory(path)
        for name in directory.names():
            status = directory.lstat(name)
            is_dir = stat.S_ISDIR(status.st_mode)
            inner = f"{path}/{name}" if path else name
            generation = _generation(directory, name) if is_dir else 0
            yield inner, (stat.S_IFMT(status.st_mode), status.st_ino, generation, status.st_ctime_ns)
            if is_dir:
                pending.append(inner)


def _generation(parent: Directory, name: str) -> int:
    """Differs between inodes that had one number after another; 0 where the file system does not tell."""
    fd = os.open(name, LIST, dir_fd=parent.fd)
    try:
        return int.from_bytes(fcntl.ioctl(fd, _GETVERSION, bytes(8))[:4], sys.byteorder)
    except OSError:
        return 0
    finally:
        os.close(fd)


class _Extraction:
    """Moves what is new or changed into the upper directory, and puts whiteouts there for what is gone."""

    def __init__(self, top: Root, upper: Root, before: _Seen, opaque: str) -> None:
        self._top = top
        self._upper = upper
        self._before = before
        self._after = dict(_snapshot(top))
        self._opaque = opaque
        self._made: set[str] = set()
        """Directories of the upper directory that get the attributes of those that they stand for."""

    def run(self) -> None:
        before, after = self._before, self._after
        for path, seen in sorted(after.items()):
            if before.get(path) != seen:
                self._move(path, seen)
        for path in sorted(before.keys() - after.keys()):
            parent = path.rpartition("/")[0]
            # What lies in a directory that is gone, or that has been made anew, is gone with it.
            if not parent or (parent in after and after[parent][:3] == before[parent][:3]):
                self._hide(path)
        for path in sorted(self._made | {""}, reverse=True):
            _copy_attributes(self._top.directory(path), self._upper.directory(path), "")

    def _move(self, path: str, seen: _Mark) -> None:
        there, target, name = self._top.locate(path)[0], *self._place(path)
        if seen[0] != stat.S_IFDIR:
            remove(target.fd, name)
            os.rename(name, name, src_dir_fd=there.fd, dst_dir_fd=target.fd)
            return
        if not _is_real_dir(target, name):
            remove(target.fd, name)
            os.mkdir(name, dir_fd=target.fd)
        self._made.add(path)
        # Where the file system has no generations, whiteouts may hide the old content instead.
        if path in self._before and self._before[path][:3] != seen[:3]:
            target.setxattr(name, self._opaque, b"y")

    def _hide(self, path: str) -> None:
        target, name = self._place(path)
        remove(target.fd, name)
        try:
            os.mknod(name, stat.S_IFCHR, 0, dir_fd=target.fd)
        except PermissionError:
            raise NoWhiteouts(self._upper.path) from None

    def _place(self, path: str) -> tuple[Directory, str]:
        """Where `path` goes in the upper directory; its parents are made."""
        *parents, name = path.split("/")
        prefix, target = "", self._upper.directory("")
        for parent in parents:
            prefix = f"{prefix}/{parent}" if prefix else parent
            try:
                target = self._upper.directory(prefix)
            except FileNotFoundError:
                os.mkdir(parent, dir_fd=target.fd)
                self._made.add(prefix)
                target = self._upper.directory(prefix)
        return target, name


def _is_real_dir(parent: Directory, name: str) -> bool:
    try:
        return stat.S_ISDIR(parent.lstat(name).st_mode)
    except OSError:
        return False


def _is_opaque(parent: Directory, name: str) -> bool:
    return any(key in _OPAQUE for key in parent.listxattr(name))
