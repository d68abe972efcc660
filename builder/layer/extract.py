"""Members of an archive becoming files, below one directory and nowhere else (see memberpaths.py).

New directories are mode 0700 while the archive is read; `finish` gives directories their attributes, so that nothing
disturbs their times and no mode stands in the way.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from typing import Literal

from builder.errors import ImageError, UsageError
from builder.layer.memberpaths import OPEN_DIRECTORY, Attributes, MemberRefused, Root
from builder.layer.newfiles import NewFiles, new_files
from builder.layer.overlay import CAPABILITY_XATTR, XattrPrefix, give, is_whiteout, make_whiteout, set_opaque
from builder.layer.tarfields import shown_name
from builder.layer.tarread import GLOBAL_HEADER, Member
from builder.layer.tarsparse import SparseMap
from builder.layer.tree import FileTree

OnChownError = Literal["raise", "record"]
SPARSE_LIMIT_VARIABLE = "BUILDER_SPARSE_LIMIT"

_SPARSE_LIMIT = 16 << 30

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DEVICES = {b"3": stat.S_IFCHR, b"4": stat.S_IFBLK, b"6": stat.S_IFIFO}
_REFUSED_XATTRS = ("trusted.", "user.overlay.", "user.builder.", "security.selinux", "security.ima", "security.evm")
"""The system's and the store's own."""


class MemberFailed(ImageError):
    """The system refused to make a member's file."""

    code = "archive-extract"

    def __init__(self, name: bytes, cause: OSError) -> None:
        unmapped = cause.errno == errno.EINVAL or (cause.errno == errno.EPERM and os.geteuid() != 0)
        super().__init__(
            f"cannot extract archive member `{shown_name(name)}`",
            cause=cause.strerror or str(cause),
            hint="its owner may be outside of the ids that /etc/subuid and /etc/subgid give you" if unmapped else None,
        )


class TooManyHoles(ImageError):
    """Holes cost nothing in an archive; in an image, which knows none, each of their bytes is read, hashed and sent."""

    code = "archive-holes"

    def __init__(self, name: bytes, size: int, limit: int) -> None:
        super().__init__(
            f"archive member `{shown_name(name)}` is a sparse file of {size} bytes",
            cause=f"the holes of an archive's files may have {limit} bytes in all",
            hint=f"set {SPARSE_LIMIT_VARIABLE} to a larger number of bytes",
        )


def sparse_limit(environment: Mapping[str, str]) -> int:
    """How many bytes the holes of one archive's sparse files may have. Raises UsageError."""
    text = environment.get(SPARSE_LIMIT_VARIABLE, "")
    if not text:
        return _SPARSE_LIMIT
    if not text.isdecimal():
        raise UsageError(f"{SPARSE_LIMIT_VARIABLE} is `{text}`, which is not a number of bytes")
    return int(text)


class Extraction:
    """A directory being filled. As a context it closes what it opened.

    `below` is what the finished layer will lie on. `pulled` says that the archive is a layer, with nothing known of
    what it lies on: it may hold whiteouts, and keeps all extended attributes but the system's and the store's own; of
    other archives only `security.capability` is kept. `owner` overrides that of every member. "record" keeps owners
    that chown refuses as an attribute.
    """

    def __init__(
        self,
        root_dir: str,
        *,
        base: str = "",
        below: FileTree | None = None,
        xattr_prefix: XattrPrefix = "trusted",
        on_chown_error: OnChownError = "raise",
        owner: tuple[int, int] | None = None,
        pulled: bool = False,
    ) -> None:
        self.root = Root(root_dir, base, below, xattr_prefix, pulled=pulled)
        self._xattr_prefix: XattrPrefix = xattr_prefix
        self._record = on_chown_error == "record"
        self._owner = owner
        self._pulled = pulled
        self._new = new_files(self.root.fd) if pulled else NewFiles()
        self._holes = 0
        """Bytes of all holes so far."""
        self.skipped: list[str] = []
        """Devices that the system did not let us make."""

    def __enter__(self) -> Extraction:
        return self

    def __exit__(self, *_: object) -> None:
        self.root.close()

    def add(self, member: Member, data: Iterator[memoryview]) -> None:
        """Makes what `member` says, replacing what is there; a directory merges. Raises MemberRefused, MemberFailed."""
        if self._owner is not None:
            member.uid, member.gid = self._owner
        if member.xattrs:
            member.xattrs = {name: value for name, value in member.xattrs.items() if self._keeps(name)}
        try:
            if member.kind == b"0":
                self._file(member, data)
            elif member.kind == b"5":
                attributes = Attributes(member.mode, member.uid, member.gid, member.mtime_ns, member.xattrs)
                self.root.make_directory(member.name, attributes)
            elif member.kind == b"2":
                self._symlink(member)
            elif member.kind == b"1":
                self._hard_link(member)
            elif member.kind == b"3" and member.device == (0, 0):
                self._whiteout_device(member)
            elif member.kind in _DEVICES:
                self._device(member)
            elif member.kind != GLOBAL_HEADER:
                kind = member.kind.decode("latin-1")
                raise MemberRefused(member.name, f"is of a type that cannot be unpacked: `{kind}`")
        except OSError as error:
            raise MemberFailed(member.name, error) from error

    def hide(self, name: bytes) -> None:
        """A whiteout: what the layers below have at `name` shows no more; what this archive put there stays."""
        try:
            _, fd, last = self.root.locate(name)
            try:
                make_whiteout(last, dir_fd=fd)
            except FileExistsError:
                if stat.S_ISDIR(os.stat(last, dir_fd=fd, follow_symlinks=False).st_mode):
                    self.make_opaque(name)
        except OSError as error:
            raise MemberFailed(name, error) from error

    def make_opaque(self, name: bytes) -> None:
        """Nothing from below shows in the directory `name`."""
        try:
            set_opaque(self.root.enter(name)[1], self._xattr_prefix)
        except OSError as error:
            raise MemberFailed(name, error) from error

    def finish(self) -> None:
        """Gives the directories their attributes, children first. Raises MemberFailed."""
        directories = self.root.directories
        for path in sorted(directories, reverse=True):
            try:
                fd = os.open(path or b".", OPEN_DIRECTORY, dir_fd=self.root.fd)
                try:
                    self._apply(fd, directories[path])
                finally:
                    os.close(fd)
            except OSError as error:
                raise MemberFailed(path, error) from error

    # -- kinds ----------------------------------------------------------------------------------------------------

    def _file(self, member: Member, data: Iterator[memoryview]) -> None:
        if member.sparse is not None:
            self._count_holes(member, member.sparse)
        mode = self._new.mode(member.mode)
        fd = self.root.create(member.name, lambda name, parent: os.open(name, _NEW_FILE, mode, dir_fd=parent))
        try:
            if member.sparse is None:
                for piece in data:
                    _write(fd, piece)
            else:
                _write_sparse(fd, member, data)
            self._apply(fd, member, mode)
        finally:
            os.close(fd)

    def _count_holes(self, member: Member, parts: SparseMap) -> None:
        self._holes += member.size - sum(length for _, length in parts)
        limit = sparse_limit(os.environ)
        if self._holes > limit:
            raise TooManyHoles(member.name, member.size, limit)

    def _symlink(self, member: Member) -> None:
        def make(name: bytes, parent: int) -> None:
            os.symlink(member.link, name, dir_fd=parent)
            self._apply_by_name(name, parent, member)

        self.root.create(member.name, make)

    def _device(self, member: Member) -> None:
        def make(name: bytes, parent: int) -> None:
            os.mknod(name, _DEVICES[member.kind] | 0o600, os.makedev(*member.device), dir_fd=parent)
            self._apply_by_name(name, parent, member)

        try:
            self.root.create(member.name, make)
        except PermissionError:
            self.skipped.append(os.fsdecode(member.name))

    def _whiteout_device(self, member: Member) -> None:
        if not self._pulled:
            raise MemberRefused(member.name, "is a character device 0:0, which overlayfs takes for a removed file")
        self.hide(member.name)

    def _hard_link(self, member: Member) -> None:
        """One more name; in a layer the file takes over the attributes of its last member, as containerd has it."""
        parent, name = self.root.vacate(member.name)
        try:
            folder, fd, target = self.root.locate(member.link, make=False)
            if is_whiteout(os.stat(target or b".", dir_fd=fd, follow_symlinks=False)):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            to = self.root.descriptor(parent)
            os.link(target, name, src_dir_fd=self.root.descriptor(folder), dst_dir_fd=to, follow_symlinks=False)
            if self._pulled:
                self._apply_by_name(name, to, member)
        except FileNotFoundError:
            link = shown_name(member.link)
            raise MemberRefused(member.name, f"is a hard link to `{link}`, which the archive does not hold") from None

    # -- attributes -----------------------------------------------------------------------------------------------

    def _apply(self, fd: int, to: Member | Attributes, mode: int = -1) -> None:
        """`mode` is what the file has already."""
        if (to.uid, to.gid) != self._new.owner:
            give(fd, to.uid, to.gid, record=self._record)
        if to.mode != mode:
            os.fchmod(fd, to.mode)
        if to.xattrs:
            _set_xattrs(fd, to.xattrs)
        if to.mtime_ns is not None:
            os.utime(fd, ns=(to.mtime_ns, to.mtime_ns))

    def _apply_by_name(self, name: bytes, parent: int, member: Member) -> None:
        """For what cannot be opened or is not open: links, devices, further names of files."""
        give(name, member.uid, member.gid, record=self._record, dir_fd=parent)
        if not stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            os.chmod(name, member.mode, dir_fd=parent)
        os.utime(name, ns=(member.mtime_ns, member.mtime_ns), dir_fd=parent, follow_symlinks=False)

    def _keeps(self, xattr: str) -> bool:
        return xattr == CAPABILITY_XATTR or (self._pulled and not xattr.startswith(_REFUSED_XATTRS))


def _set_xattrs(fd: int, xattrs: dict[str, bytes]) -> None:
    """What the file system cannot hold is left out, but for capabilities, without which a program does not work."""
    for name, value in xattrs.items():
        try:
            os.setxattr(fd, name, value)
        except OSError as error:
            if name == CAPABILITY_XATTR or error.errno not in (errno.ENOTSUP, errno.EPERM):
                raise


def _write(fd: int, piece: memoryview) -> None:
    while piece:
        piece = piece[os.write(fd, piece) :]


def _write_sparse(fd: int, member: Member, data: Iterator[memoryview]) -> None:
    os.ftruncate(fd, member.size)
    piece = memoryview(b"")
    for offset, length in member.sparse or ():
        end = offset + length
        while offset < end:
            piece = piece or next(data)
            written = os.pwrite(fd, piece[: end - offset], offset)
            piece = piece[written:]
            offset += written
