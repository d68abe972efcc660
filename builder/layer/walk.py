"""Walking a layer directory in the order in which its tar lists it: parents first, siblings sorted by bytes."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Hashable, Iterator

import msgspec

from builder.errors import StoreError
from builder.layer.overlay import NO_XATTRS, Xattrs, is_whiteout, read_xattrs
from builder.rooted.root import DIRECTORY, Directory

NANOSECONDS = 1_000_000_000


class LayerUnreadable(StoreError):
    code = "layer-unreadable"

    def __init__(self, path: str, cause: OSError) -> None:
        notes = ("paths of more than 4095 bytes cannot be packed",) if cause.errno == errno.ENAMETOOLONG else ()
        super().__init__(f"cannot read layer path `{path}`", cause=cause.strerror or str(cause), notes=notes)


class LayerChanged(StoreError):
    code = "layer-changed"

    def __init__(self, path: str) -> None:
        super().__init__(f"layer path `{path}` became shorter while it was read")


class RedirectInLayer(StoreError):
    code = "layer-redirect"

    def __init__(self, path: str, xattr: str) -> None:
        super().__init__(
            f"layer path `{path}` carries `{xattr}`, so its content is in another layer",
            hint="mount overlayfs with redirect_dir=off,metacopy=off",
        )


class LayerEntry(msgspec.Struct, gc=False):
    """One name of a layer. `mode` (permission bits), `uid` and `gid` are what the image is to show."""

    name: bytes
    """Inside the layer, no leading slash, no trailing one."""
    kind: int
    """`stat.S_IFMT` of it; `whiteout` marks whiteouts."""
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    """Whole seconds, cut downwards as containerd does."""
    rdev: int
    file: Hashable
    """Equal for the names of one file; None for what has one name."""
    capability: bytes
    link: bytes = b""
    """What a symbolic link says."""
    opaque: bool = False
    whiteout: bool = False
    directory: Directory | None = None
    """Where the file is, under the last component of its name; None if its bytes are in another layer."""


def walk_layer(layer_dir: str) -> Iterator[LayerEntry]:
    """Every name in `layer_dir` but the directory itself and sockets, which no tar holds. Raises LayerUnreadable,
    RedirectInLayer.
    """
    path = ""
    try:
        pending = _children(Directory(os.open(layer_dir, DIRECTORY)), "")
        while pending:
            directory, name, path = pending.pop()
            status = directory.lstat(name)
            kind = stat.S_IFMT(status.st_mode)
            if kind == stat.S_IFSOCK:
                continue
            xattrs = read_xattrs(directory, name) if kind in (stat.S_IFREG, stat.S_IFDIR) else NO_XATTRS
            if xattrs.redirect:
                raise RedirectInLayer(path, xattrs.redirect)
            link = os.fsencode(directory.readlink(name)) if kind == stat.S_IFLNK else b""
            yield _entry(path, kind, status, xattrs, link, directory)
            if kind == stat.S_IFDIR:
                pending += _children(directory.enter(name), f"{path}/")
    except OSError as error:
        raise LayerUnreadable(path, error) from error


def first_name(entry: LayerEntry, names: dict[Hashable, bytes]) -> bytes:
    """The name under which this file was met before, b"" the first time; `names` remembers files of several names."""
    if entry.file is None or entry.whiteout:
        return b""
    first = names.setdefault(entry.file, entry.name)
    return b"" if first is entry.name else first


def file_pieces(entry: LayerEntry, space: Callable[[], memoryview]) -> Iterator[memoryview]:
    """The bytes of a regular file, read into what `space` gives for each piece; nothing for other kinds.

    Exactly as many bytes as its entry says. Raises LayerUnreadable and LayerChanged.
    """
    left = entry.size if entry.kind == stat.S_IFREG else 0
    if not left:
        return
    assert entry.directory is not None
    try:
        fd = entry.directory.open(os.fsdecode(entry.name.rpartition(b"/")[2]))
        try:
            while left:
                room = space()
                count = os.readv(fd, (room[:left],))
                if not count:
                    raise LayerChanged(os.fsdecode(entry.name))
                left -= count
                yield room[:count]
        finally:
            os.close(fd)
    except OSError as error:
        raise LayerUnreadable(os.fsdecode(entry.name), error) from error


def _children(directory: Directory, prefix: str) -> list[tuple[Directory, str, str]]:
    """What is in a directory, the last first: where it is, its name, its path."""
    return [(directory, name, prefix + name) for name in reversed(directory.names())]


def _entry(path: str, kind: int, status: os.stat_result, xattrs: Xattrs, link: bytes,
           directory: Directory) -> LayerEntry:
    uid, gid = xattrs.owner or (status.st_uid, status.st_gid)
    file = (status.st_dev, status.st_ino) if status.st_nlink > 1 and kind != stat.S_IFDIR else None
    whiteout = kind == stat.S_IFCHR and is_whiteout(status)
    return LayerEntry(os.fsencode(path), kind, stat.S_IMODE(status.st_mode), uid, gid, status.st_size,
                      status.st_mtime_ns // NANOSECONDS, status.st_rdev, file, xattrs.capability, link, xattrs.opaque,
                      whiteout, directory)
