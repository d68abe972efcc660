"""Walking a layer directory in the order in which its tar lists it: parents first, siblings sorted by bytes."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Hashable, Iterator

import msgspec

from builder.errors import StoreError
from builder.layer.overlay import NO_XATTRS, Xattrs, is_whiteout, read_xattrs

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
            f"layer path `{path}` carries `{xattr}`, so its content lies elsewhere",
            hint="mount overlayfs with redirect_dir=off,metacopy=off",
        )


class LayerEntry(msgspec.Struct, gc=False):
    """One name of a layer. `mode` (permission bits), `uid` and `gid` are what the image is to show."""

    name: bytes
    """Inside the layer, no leading slash, no trailing one."""
    host: bytes
    """Where bytes or link target are; what a directory is without them has b""."""
    kind: int
    """`stat.S_IFMT` of it; whiteouts are told by `whiteout`."""
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
    opaque: bool = False
    whiteout: bool = False


def walk_layer(layer_dir: str) -> Iterator[LayerEntry]:
    """Every name in `layer_dir` but the directory itself and sockets, which no tar holds. Raises LayerUnreadable,
    RedirectInLayer.
    """
    root = os.fsencode(layer_dir).rstrip(b"/") or b"/"
    skip = len(root.rstrip(b"/")) + 1
    path = root
    pending: list[os.DirEntry[bytes]] = []
    try:
        pending = _children(root)
        while pending:
            item = pending.pop()
            path = item.path
            status = item.stat(follow_symlinks=False)
            kind = stat.S_IFMT(status.st_mode)
            if kind == stat.S_IFSOCK:
                continue
            xattrs = read_xattrs(path) if kind in (stat.S_IFREG, stat.S_IFDIR) else NO_XATTRS
            if xattrs.elsewhere:
                raise RedirectInLayer(os.fsdecode(path[skip:]), xattrs.elsewhere)
            yield _entry(path[skip:], path, kind, status, xattrs)
            if kind == stat.S_IFDIR:
                pending += _children(path)
    except OSError as error:
        raise LayerUnreadable(os.fsdecode(path[skip:]), error) from error


def first_name(entry: LayerEntry, names: dict[Hashable, bytes]) -> bytes:
    """The name under which this file was met before, b"" the first time; `names` remembers files of several names."""
    if entry.file is None or entry.whiteout:
        return b""
    first = names.setdefault(entry.file, entry.name)
    return b"" if first is entry.name else first


def link_target(entry: LayerEntry) -> bytes:
    """What a symbolic link says; b"" for everything else. Raises LayerUnreadable."""
    if entry.kind != stat.S_IFLNK:
        return b""
    try:
        return os.readlink(entry.host)
    except OSError as error:
        raise LayerUnreadable(os.fsdecode(entry.name), error) from error


def file_pieces(entry: LayerEntry, space: Callable[[], memoryview]) -> Iterator[memoryview]:
    """The bytes of a regular file, read into what `space` gives for each piece; nothing for other kinds.

    Exactly as many bytes as its entry says. Raises LayerUnreadable and LayerChanged.
    """
    left = entry.size if entry.kind == stat.S_IFREG else 0
    if not left:
        return
    try:
        fd = os.open(entry.host, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
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


def _children(path: bytes) -> list[os.DirEntry[bytes]]:
    with os.scandir(path) as listing:
        return sorted(listing, key=_name, reverse=True)


def _name(item: os.DirEntry[bytes]) -> bytes:
    return item.name


def _entry(name: bytes, host: bytes, kind: int, status: os.stat_result, xattrs: Xattrs) -> LayerEntry:
    uid, gid = xattrs.owner or (status.st_uid, status.st_gid)
    file = (status.st_dev, status.st_ino) if status.st_nlink > 1 and kind != stat.S_IFDIR else None
    whiteout = kind == stat.S_IFCHR and is_whiteout(status)
    return LayerEntry(name, host, kind, stat.S_IMODE(status.st_mode), uid, gid, status.st_size,
                      status.st_mtime_ns // NANOSECONDS, status.st_rdev, file, xattrs.capability, xattrs.opaque,
                      whiteout)
