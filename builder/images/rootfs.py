"""The files of a result, in a folder (type=local) or a plain tar (type=tar), as buildx hands them out.

In a folder everything belongs to the user who runs the build; modes, times, links and devices are kept, what is there
already stays unless the result has something else of that name. In a tar owners are kept as well. SOURCE_DATE_EPOCH
becomes the time of everything. A link in the folder is never followed: it is replaced where a directory is to be.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Container, Sequence
from functools import partial
from typing import BinaryIO

import msgspec

from builder.errors import BuilderError
from builder.images.outfile import DestinationRefused, copy_between
from builder.layer import tarwrite
from builder.layer.overlay import image_xattrs
from builder.layer.tree import Entry, FileTree
from builder.oci import Platform
from builder.rooted.named import open_folder
from builder.rooted.removing import remove
from builder.rooted.root import Directory, Root

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
    setuid, and belong to the user who runs the build. Raises Overlap, DestinationRefused, OSError.

    `delete` removes afterwards what no result has. `note` receives what could not be made (devices without root).
    """
    try:
        folder = open_folder(dest, make=0o700)
    except OSError as error:
        raise DestinationRefused(dest, error.strerror or str(error)) from error
    if delete and _is_precious(folder):
        raise DestinationRefused(dest, "mode=delete would empty it", hint="name a folder that holds only the result")
    written: dict[str, Platform] = {}
    top = Root(dest, top=folder)
    for result in results:
        prefix = platform_folder(result.platform) + "/" if split else ""
        if split:
            _make_directory(top.directory(""), prefix[:-1])
            top.directory("").chmod(prefix[:-1], 0o755)
            written[prefix[:-1]] = result.platform
        _Folder(top, prefix, result, note).fill(written)
    if delete:
        _remove_others(top, written)


class _Folder:
    """Fills one folder, which is `prefix` in `top`, from one tree."""

    def __init__(self, top: Root, prefix: str, result: PlatformFiles, note: Note) -> None:
        self._top = top
        self._prefix = prefix
        self._result = result
        self._note = note
        self._names: dict[tuple[int, int], str] = {}
        self._directories: list[tuple[str, Entry]] = []

    def fill(self, written: dict[str, Platform]) -> None:
        for entry in self._result.tree.walk(""):
            path = self._prefix + entry.path
            _claim(written, path, entry, self._result.platform)
            self._add(path, entry)
        for path, entry in reversed(self._directories):
            parent, name = self._top.locate(path)
            _set_xattrs(entry, partial(parent.setxattr, name))
            parent.chmod(name, stat.S_IMODE(entry.stat.st_mode))
            parent.utime(name, self._mtime(entry))

    def _add(self, path: str, entry: Entry) -> None:
        parent, name = self._top.locate(path)
        if entry.is_dir:
            _make_directory(parent, name)
            self._directories.append((path, entry))
            return
        remove(parent.fd, name)
        identity = (entry.stat.st_dev, entry.stat.st_ino)
        if entry.stat.st_nlink > 1 and identity in self._names:
            there, first = self._top.locate(self._names[identity])
            os.link(first, name, src_dir_fd=there.fd, dst_dir_fd=parent.fd, follow_symlinks=False)
            return
        if entry.is_link:
            os.symlink(entry.readlink(), name, dir_fd=parent.fd)
        elif entry.is_file:
            self._copy(parent, name, entry)
        elif not self._make_special(parent, name, entry):
            return
        self._names[identity] = path
        parent.utime(name, self._mtime(entry))

    def _copy(self, parent: Directory, name: str, entry: Entry) -> None:
        target_fd = parent.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        with os.fdopen(target_fd, "wb", 0) as file, os.fdopen(entry.open(), "rb", 0) as source:
            copy_between(source, file)
            _set_xattrs(entry, partial(os.setxattr, target_fd))
            os.fchmod(target_fd, stat.S_IMODE(entry.stat.st_mode))

    def _make_special(self, parent: Directory, name: str, entry: Entry) -> bool:
        mode = entry.stat.st_mode
        if stat.S_ISSOCK(mode):
            return False
        try:
            os.mknod(name, mode, entry.stat.st_rdev, dir_fd=parent.fd)
        except PermissionError:
            self._note(f"the device `{entry.path}` was left out: making it needs root")
            return False
        parent.chmod(name, stat.S_IMODE(mode))
        return True

    def _mtime(self, entry: Entry) -> int:
        epoch = self._result.epoch
        return entry.stat.st_mtime_ns if epoch is None else epoch * 1_000_000_000


def _add_member(out: BinaryIO, entry: Entry, prefix: str, names: dict[tuple[int, int], str],
                result: PlatformFiles) -> None:
    status = entry.stat
    name = prefix + entry.path
    identity = (status.st_dev, status.st_ino)
    first = names.get(identity, "") if status.st_nlink > 1 and not entry.is_dir else ""
    names.setdefault(identity, name)
    link = first or (entry.readlink() if entry.is_link else "")
    is_device = stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)
    size = status.st_size if entry.is_file and not first else 0
    out.write(tarwrite.header(
        tarwrite.HARD_LINK if first else _TYPES[stat.S_IFMT(status.st_mode)],
        os.fsencode(name + "/" if entry.is_dir else name), mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid, gid=status.st_gid, size=size, link=os.fsencode(link),
        mtime=int(status.st_mtime) if result.epoch is None else result.epoch,
        device=(os.major(status.st_rdev), os.minor(status.st_rdev)) if is_device else (0, 0),
        xattrs=() if first else tarwrite.xattr_records(image_xattrs(entry.root, entry.path))))
    if size:
        with os.fdopen(entry.open(), "rb", 0) as source:
            copy_between(source, out)
        out.write(tarwrite.padding(size))


def _set_xattrs(source: Entry, setxattr: Callable[[str, bytes], None]) -> None:
    """As far as the file system there and this user's rights go: without root, a capability cannot be set."""
    for name, value in image_xattrs(source.root, source.path).items():
        with contextlib.suppress(OSError):
            setxattr(name, value)


def _claim(written: dict[str, Platform], path: str, entry: Entry, platform: Platform) -> None:
    if not entry.is_dir and (first := written.get(path)) is not None and first != platform:
        raise Overlap(path, first, platform)
    written[path] = platform


def _is_precious(folder: Directory) -> bool:
    """Whether it is the root of this machine, or the user's home."""
    status = folder.lstat("")
    for path in ("/", os.path.expanduser("~")):
        with contextlib.suppress(OSError):
            if os.path.samestat(status, os.stat(path)):
                return True
    return False


def _make_directory(parent: Directory, name: str) -> None:
    """A real directory `name`, open to its owner while it is being filled; whatever else has the name gives way."""
    try:
        os.mkdir(name, 0o700, dir_fd=parent.fd)
        return
    except FileExistsError:
        pass
    if stat.S_ISDIR(parent.lstat(name).st_mode):
        parent.chmod(name, 0o700)
    else:
        os.unlink(name, dir_fd=parent.fd)
        os.mkdir(name, 0o700, dir_fd=parent.fd)


def _remove_others(top: Root, written: Container[str]) -> None:
    pending = [""]
    while pending:
        path = pending.pop()
        directory = top.directory(path)
        for name in directory.names():
            inner = f"{path}/{name}" if path else name
            if inner not in written:
                remove(directory.fd, name)
            elif stat.S_ISDIR(directory.lstat(name).st_mode):
                pending.append(inner)
