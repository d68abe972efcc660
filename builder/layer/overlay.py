"""The overlayfs form of a layer directory.

A whiteout is a character device 0:0; a directory that hides what lies below it carries `<prefix>.overlay.opaque` = `y`,
where the prefix is `trusted` in a store of root and `user` in a rootless one. Both prefixes are always recognised, and
no `<prefix>.overlay.*` attribute ever leaves a layer directory. Where the store cannot give a file its owner,
`user.builder.owner` holds `uid:gid`: readers believe it instead of stat. Overlayfs copies it up with a file, so that it
holds through RUNs as well; a step that gives such a file to root, the only user there, does not take the record away.
Links, pipes and devices can carry no such attribute (xattr(7)): their owners are lost.
Source: Documentation/filesystems/overlayfs.rst of the kernel.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Literal

import msgspec

from builder.rooted.root import Directory, Root

XattrPrefix = Literal["trusted", "user"]

WHITEOUT_PREFIX = b".wh."
"""In a layer tar `.wh.NAME` hides NAME below (OCI image-spec, layer.md)."""
OPAQUE_MARKER = b".wh..wh..opq"

OWNER_XATTR = "user.builder.owner"
CAPABILITY_XATTR = "security.capability"

_OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")
_ELSEWHERE = frozenset(
    {"trusted.overlay.redirect", "trusted.overlay.metacopy", "user.overlay.redirect", "user.overlay.metacopy"}
)
_OF_THE_HOST = ("trusted.overlay.", "user.overlay.", "user.builder.", "security.")
_CAPABILITY_V2_SIZE = 20


class Xattrs(msgspec.Struct, frozen=True):
    """What the extended attributes of a file in a layer directory say."""

    capability: bytes = b""
    """`security.capability` in its portable form (revision 2), or empty."""
    opaque: bool = False
    owner: tuple[int, int] | None = None
    """uid and gid, where stat cannot tell them."""
    redirect: str = ""
    """The attribute by which overlayfs keeps name or content in another place: such a file cannot be read."""


NO_XATTRS = Xattrs()


def is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def make_whiteout(path: str | bytes, *, dir_fd: int | None = None) -> None:
    """Hides what lies below `path`. Raises FileExistsError; needs no privilege since Linux 5.8."""
    os.mknod(path, stat.S_IFCHR, 0, dir_fd=dir_fd)


def is_opaque(where: Directory | Root, name: str) -> bool:
    """Whether the directory `name` hides what the layers below have there."""
    return any(_getxattr(where, name, attribute) == b"y" for attribute in _OPAQUE)


def set_opaque(path: str | bytes | int, xattr_prefix: XattrPrefix) -> None:
    os.setxattr(path, f"{xattr_prefix}.overlay.opaque", b"y")


def clear_opaque(where: Directory, name: str) -> bool:
    """Takes the marks of an opaque directory away; whether it had one."""
    marks = [attribute for attribute in where.listxattr(name) if attribute in _OPAQUE]
    was_opaque = bool(marks) and is_opaque(where, name)
    for attribute in marks:
        where.removexattr(name, attribute)
    return was_opaque


def set_owner(path: str | bytes | int, uid: int, gid: int) -> None:
    """Records an owner that chown refused. Only files and directories can carry it (xattr(7))."""
    os.setxattr(path, OWNER_XATTR, b"%d:%d" % (uid, gid))


def give(file: str | bytes | int, uid: int, gid: int, *, record: bool = True, dir_fd: int | None = None) -> None:
    """Gives a file its owner; with `record`, one that this process may not set is recorded.

    A path is not followed. What can carry no record keeps the owner that it has.
    """
    follow = isinstance(file, int)
    try:
        os.chown(file, uid, gid, dir_fd=dir_fd, follow_symlinks=follow)
        return
    except OSError as error:
        if not record or error.errno not in (errno.EPERM, errno.EINVAL):
            raise
    if stat.S_IFMT(os.stat(file, dir_fd=dir_fd, follow_symlinks=follow).st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
        return
    if isinstance(file, int):
        set_owner(file, uid, gid)
        return
    fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=dir_fd)
    try:
        set_owner(fd, uid, gid)
    finally:
        os.close(fd)


def read_xattrs(where: Directory | Root, name: str) -> Xattrs:
    """The attributes of a file or directory."""
    names = where.listxattr(name)
    if not names:
        return NO_XATTRS
    return Xattrs(
        _portable(_getxattr(where, name, CAPABILITY_XATTR)) if CAPABILITY_XATTR in names else b"",
        any(mark in names and _getxattr(where, name, mark) == b"y" for mark in _OPAQUE),
        _parse_owner(_getxattr(where, name, OWNER_XATTR)) if OWNER_XATTR in names else None,
        min(_ELSEWHERE.intersection(names), default=""),
    )


def image_xattrs(where: Directory | Root, name: str) -> dict[str, bytes]:
    """The extended attributes of a file or directory that belong to the image, sorted by name.

    Those of overlayfs, of the store and of the host's security modules are left out; a capability is in its portable
    form. What cannot be read counts as absent.
    """
    try:  # listed first: most files have none, and failing to get one takes four times as long
        names = where.listxattr(name)
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.EPERM):
            return {}
        raise
    kept = [mark for mark in sorted(names) if mark == CAPABILITY_XATTR or not mark.startswith(_OF_THE_HOST)]
    found = {mark: _getxattr(where, name, mark) for mark in kept}
    if CAPABILITY_XATTR in found:
        found[CAPABILITY_XATTR] = _portable(found[CAPABILITY_XATTR])
    return found


def _portable(capability: bytes) -> bytes:
    """Revision 3 names the root of the user namespace it was set in, meaningless on other machines: revision 2."""
    if len(capability) > _CAPABILITY_V2_SIZE and capability[3] == 3:
        return capability[:3] + b"\x02" + capability[4:_CAPABILITY_V2_SIZE]
    return capability


def _parse_owner(value: bytes) -> tuple[int, int] | None:
    """Until now permission bits followed, which a chmod of a later step did not change."""
    try:
        uid, gid = value.split(b":")[:2]
        return int(uid), int(gid)
    except ValueError:
        return None


def _getxattr(where: Directory | Root, name: str, attribute: str) -> bytes:
    try:
        return where.getxattr(name, attribute)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP):
            return b""
        raise
