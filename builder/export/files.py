"""The files of a result, in a folder (type=local) or a plain tar (type=tar), as buildx hands them out.

In a folder everything belongs to whoever runs the build; modes, times, links and devices are kept, what is there
already stays unless the result has something else of that name. In a tar owners are kept as well. SOURCE_DATE_EPOCH
becomes the time of everything. A link in the folder is never followed: it is replaced where a directory is to be.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

import msgspec

from builder.errors import BuilderError
from builder.export.destination import DestinationRefused, copy_between
from builder.layer import tarwrite
from builder.layer.overlay import image_xattrs
from builder.layer.tree import Entry, FileTree
from builder.oci import Platform

_TYPES = {stat.S_IFREG: tarwrite.FILE, stat.S_IFDIR: tarwrite.DIRECTORY, stat.S_IFLNK: tarwrite.SYMLINK,
          stat.S_IFCHR: tarwrite.CHAR_DEVICE, stat.S_IFBLK: tarwrite.BLOCK_DEVICE, stat.S_IFIFO: tarwrite.FIFO}
Note = Callable[[str], None]


class PlatformFiles(msgspec.Struct, frozen=True, kw_only=True):
    platform: Platform
    tree: FileTree
    epoch: int | None = None


class Overlap(BuilderError):
    code = "export-overlap"

    def __init__(self, path: str, first: Platform, second: Platform) -> None:
        super().__init__(f"cannot overwrite `{path}` from {first} with that of {second}",
                         hint="leave `platform-split` on: each platform then gets a folder of its own")


def platform_folder(platform: Platform) -> str:
    return str(platform).replace("/", "_")


def write_tar(results: Sequence[PlatformFiles], out: BinaryIO, *, split: bool) -> None:
    """All results as one tar; with `split` each below a folder named for its platform. Raises Overlap."""
    written: dict[str, Platform] = {}
    for result in results:
        prefix = platform_folder(result.platform) + "/" if split else ""
        if prefix:
            out.write(tarwrite.header(tarwrite.DIRECTORY, prefix.encode(), mode=0o755, uid=0, gid=0,
                                      mtime=result.epoch or 0))
        names: dict[tuple[int, int], str] = {}
        for entry in result.tree.walk(""):
            if stat.S_ISSOCK(entry.stat.st_mode):
                continue
            _claim(written, prefix + entry.path, entry, result.platform)
            _add_member(out, entry, prefix, names, result)
    out.write(tarwrite.END)


def write_folder(results: Sequence[PlatformFiles], dest: str, *, split: bool, delete: bool = False,
                 note: Note = lambda text: None) -> None:
    """All results into the folder `dest`, made if need be, then for its owner alone: programs of the result may be
    setuid, and belong to whoever runs the build. Raises Overlap, DestinationRefused, OSError.

    `delete` removes afterwards what no result has. `note` receives what could not be made (devices without root).
    """
    if delete and os.path.realpath(dest) in {"/", os.path.expanduser("~")}:
        raise DestinationRefused(dest, "mode=delete would empty it", hint="name a folder that holds only the result")
    try:
        _make_private(dest)
    except OSError as error:
        raise DestinationRefused(dest, error.strerror or str(error)) from error
    written: dict[str, Platform] = {}
    for result in results:
        folder = os.path.join(dest, platform_folder(result.platform)) if split else dest
        if split:
            _make_directory(folder, 0o755)
            written[platform_folder(result.platform)] = result.platform
        _Folder(folder, result, note).fill(written, os.path.relpath(folder, dest))
    if delete:
        _remove_others(dest, set(written))


class _Folder:
    """Fills one folder from one tree."""

    def __init__(self, root: str, result: PlatformFiles, note: Note) -> None:
        self._root = root
        self._result = result
        self._note = note
        self._names: dict[tuple[int, int], str] = {}
        self._directories: list[tuple[str, Entry]] = []

    def fill(self, written: dict[str, Platform], prefix: str) -> None:
        for entry in self._result.tree.walk(""):
            name = os.path.normpath(os.path.join(prefix, entry.path))
            _claim(written, name, entry, self._result.platform)
            self._add(os.path.join(self._root, entry.path), entry)
        for target, entry in reversed(self._directories):
            _copy_xattrs(entry.host, target)
            self._set_times(target, entry)

    def _add(self, target: str, entry: Entry) -> None:
        mode = entry.stat.st_mode
        if entry.is_dir:
            _make_directory(target, stat.S_IMODE(mode))
            self._directories.append((target, entry))
            return
        _clear(target)
        identity = (entry.stat.st_dev, entry.stat.st_ino)
        if entry.stat.st_nlink > 1 and identity in self._names:
            os.link(self._names[identity], target, follow_symlinks=False)
            return
        if entry.is_link:
            os.symlink(os.readlink(entry.host), target)
        elif entry.is_file:
            self._copy(target, entry)
        elif not self._make_special(target, entry):
            return
        self._names[identity] = target
        self._set_times(target, entry)

    def _copy(self, target: str, entry: Entry) -> None:
        source_fd = os.open(entry.host, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        target_fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(source_fd, "rb", 0) as source, os.fdopen(target_fd, "wb", 0) as file:
            copy_between(source, file)
            _copy_xattrs(source_fd, target_fd)
            os.fchmod(target_fd, stat.S_IMODE(entry.stat.st_mode))

    def _make_special(self, target: str, entry: Entry) -> bool:
        mode = entry.stat.st_mode
        if stat.S_ISSOCK(mode):
            return False
        try:
            os.mknod(target, mode, entry.stat.st_rdev)
        except PermissionError:
            self._note(f"the device `{entry.path}` was left out: making it needs root")
            return False
        os.chmod(target, stat.S_IMODE(mode))
        return True

    def _set_times(self, target: str, entry: Entry) -> None:
        epoch = self._result.epoch
        moment = entry.stat.st_mtime_ns if epoch is None else epoch * 1_000_000_000
        os.utime(target, ns=(moment, moment), follow_symlinks=False)


def _add_member(out: BinaryIO, entry: Entry, prefix: str, names: dict[tuple[int, int], str],
                result: PlatformFiles) -> None:
    status = entry.stat
    name = prefix + entry.path
    identity = (status.st_dev, status.st_ino)
    first = names.get(identity, "") if status.st_nlink > 1 and not entry.is_dir else ""
    names.setdefault(identity, name)
    link = first or (os.readlink(entry.host) if entry.is_link else "")
    is_device = stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)
    size = status.st_size if entry.is_file and not first else 0
    out.write(tarwrite.header(
        tarwrite.HARD_LINK if first else _TYPES[stat.S_IFMT(status.st_mode)],
        os.fsencode(name + "/" if entry.is_dir else name), mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid, gid=status.st_gid, size=size, link=os.fsencode(link),
        mtime=int(status.st_mtime) if result.epoch is None else result.epoch,
        device=(os.major(status.st_rdev), os.minor(status.st_rdev)) if is_device else (0, 0),
        xattrs=() if first else tarwrite.xattr_records(image_xattrs(entry.host))))
    if size:
        fd = os.open(entry.host, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(fd, "rb", 0) as source:
            copy_between(source, out)
        out.write(tarwrite.padding(size))


def _copy_xattrs(source: str | int, target: str | int) -> None:
    """As far as the file system there and this user's rights go: without root, a capability cannot be set."""
    for name, value in image_xattrs(source).items():
        with contextlib.suppress(OSError):
            os.setxattr(target, name, value, follow_symlinks=isinstance(target, int))


def _claim(written: dict[str, Platform], path: str, entry: Entry, platform: Platform) -> None:
    if not entry.is_dir and (first := written.get(path)) is not None and first != platform:
        raise Overlap(path, first, platform)
    written[path] = platform


def _make_private(folder: str) -> None:
    """The folder and the missing ones above it with mode 0700; what exists keeps its mode, as with buildx."""
    try:
        os.mkdir(folder, 0o700)
    except FileNotFoundError:
        _make_private(os.path.dirname(folder.rstrip("/")))
        os.mkdir(folder, 0o700)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise


def _make_directory(target: str, mode: int) -> None:
    """A real directory at `target`; whatever else has the name gives way."""
    try:
        os.mkdir(target, 0o700)
    except FileExistsError:
        if not stat.S_ISDIR(os.lstat(target).st_mode):
            os.unlink(target)
            os.mkdir(target, 0o700)
    os.chmod(target, mode)


def _clear(target: str) -> None:
    from builder.rooted.removing import remove_path

    remove_path(target)


def _remove_others(dest: str, written: set[str]) -> None:
    for path in _below(dest):
        if os.path.relpath(path, dest) not in written:
            _clear(path)


def _below(folder: str) -> Iterator[str]:
    """Paths below a folder, children of a removed directory not visited."""
    with os.scandir(folder) as entries:
        found = [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for path, is_directory in found:
        yield path
        if is_directory and os.path.isdir(path):
            yield from _below(path)
