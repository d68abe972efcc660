"""Paths that the caller of builder named, which may lead through folders of other users.

They are resolved by this machine's rules, one component at a time and beneath descriptors that stay open, so that what
takes a name later is not looked at. Links are followed as usual, but one that somebody else made only to what belongs
to them (as systemd's CHASE_SAFE): a folder swapped for a link does not redirect what root writes or reads.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

from builder.rooted.root import DIRECTORY, LOOK, MAX_LINKS, Directory

_OVERFLOW_ID = 65534
"""Owner of what has none in this user namespace (/proc/sys/kernel/overflowuid)."""


class ForeignLink(PermissionError):
    """A link that another user made leads to what is not theirs."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.EPERM, "another user's link leads to what is not theirs", path)


def locate(path: str, *, follow: bool = True, make: int | None = None) -> tuple[Directory, str]:
    """The directory that `path` is in, open, and its name there, which need not exist; "" for the directory itself.

    Without `follow` the last component is not followed if it is a link. Missing directories above are made with the
    mode `make`, if it is given. A link to a pipe in /proc (/dev/stdout) counts as the pipe. Raises OSError,
    ForeignLink.
    """
    here = Directory(os.open("/" if path.startswith("/") else ".", DIRECTORY))
    todo = [part for part in path.split("/") if part not in ("", ".")][::-1]
    owners: set[int] = set()
    links, name = 0, ""
    try:
        while todo:
            name = todo.pop()
            if name == "..":
                here, name = Directory(os.open("..", DIRECTORY, dir_fd=here.fd)), ""
                continue
            found = _look(here, name)
            if found is None and todo and make is not None:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, make, dir_fd=here.fd)
                found = here.enter(name)
            if found is None:
                if not todo:
                    break
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            status = os.fstat(found.fd)
            if stat.S_ISLNK(status.st_mode) and (todo or follow):
                target = os.readlink("", dir_fd=found.fd)
                if ":[" in target and status.st_dev == os.stat("/proc").st_dev:
                    break
                links += 1
                if links > MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                if not _is_trusted(status.st_uid):
                    owners.add(status.st_uid)
                if target.startswith("/"):
                    here = Directory(os.open("/", DIRECTORY))
                todo += [part for part in target.split("/") if part not in ("", ".")][::-1]
                name = ""
            elif todo:
                if not stat.S_ISDIR(status.st_mode):
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
                here, name = found, ""
        if owners and owners != {_owner(here, name)}:
            raise ForeignLink(path)
    except OSError as error:
        error.filename = path
        raise
    return here, name


def open_folder(path: str, *, make: int | None = None) -> Directory:
    """The directory at `path`; with `make` it is made with that mode, and the missing ones above it. Raises OSError."""
    here, name = locate(path, make=make)
    if not name:
        return here
    if make is not None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, make, dir_fd=here.fd)
    try:
        return here.enter(name)
    except OSError as error:
        error.filename = path
        raise


def remove_file(path: str) -> None:
    """Removes the file or link at `path`, if there is one. Raises OSError."""
    try:
        here, name = locate(path, follow=False)
        mode = here.lstat(name).st_mode
        if stat.S_ISREG(mode) or stat.S_ISLNK(mode):
            os.unlink(name, dir_fd=here.fd)
    except FileNotFoundError:
        pass


class NewFile:
    """A file that takes the place of what is at `path` once `commit` is called: readers see either the old or all
    of the new. A link stays, and what it leads to is replaced; the mode is that of the old file.

    `fd` is the file to write to. What is no regular file (a pipe, a device) is written as it is. The folder is opened
    once, so it does not matter what takes its name meanwhile. All methods raise OSError.
    """

    def __init__(self, path: str) -> None:
        self._folder, self._name = locate(path)
        self._temporary = ""
        if not self._name:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        try:
            self.fd = self._open()
        except OSError as error:
            error.filename = path
            raise

    def commit(self) -> None:
        """Puts the file in its place; `fd` is the caller's to close before."""
        if not self._temporary:
            return
        here = self._folder.fd
        try:
            os.replace(self._temporary, self._name, src_dir_fd=here, dst_dir_fd=here)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            self._overwrite()  # somebody has mounted it there, so it has to stay itself
            return
        self._temporary = ""

    def discard(self) -> None:
        """Removes what was not committed."""
        if self._temporary:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._temporary, dir_fd=self._folder.fd)
            self._temporary = ""

    def _open(self) -> int:
        mode = self._mode()
        if mode is not None and stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if mode is not None and not stat.S_ISREG(mode):
            return self._open_special(mode)
        self._temporary = f"{self._name}.{os.getpid()}.{os.urandom(4).hex()}.partial"
        fd = os.open(self._temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666,
                     dir_fd=self._folder.fd)
        if mode is not None:
            os.fchmod(fd, mode & 0o777)
        return fd

    def _mode(self) -> int | None:
        try:
            return self._folder.lstat(self._name).st_mode
        except FileNotFoundError:
            return None

    def _open_special(self, mode: int) -> int:
        # A link here is one of /proc, see `locate`: this process' own.
        flags = os.O_WRONLY | os.O_CLOEXEC | (0 if stat.S_ISLNK(mode) and self._is_in_proc() else os.O_NOFOLLOW)
        fd = os.open(self._name, flags, dir_fd=self._folder.fd)
        if stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        return fd

    def _is_in_proc(self) -> bool:
        return os.fstat(self._folder.fd).st_dev == os.stat("/proc").st_dev

    def _overwrite(self) -> None:
        source = self._folder.open(self._temporary)
        try:
            target = self._folder.open(self._name, os.O_WRONLY)
            try:
                os.ftruncate(target, 0)
                while piece := os.read(source, 1 << 20):
                    while piece:
                        piece = piece[os.write(target, piece):]
            finally:
                os.close(target)
        finally:
            os.close(source)


def write_file(path: str, content: bytes) -> None:
    """Writes all of `content` as `NewFile` does. Raises OSError."""
    with replaced(path) as fd, open(fd, "wb", closefd=False) as file:
        file.write(content)


@contextlib.contextmanager
def replaced(path: str) -> Iterator[int]:
    """The descriptor of a NewFile, which is committed unless the block fails."""
    new = NewFile(path)
    try:
        try:
            yield new.fd
        finally:
            os.close(new.fd)
        new.commit()
    finally:
        new.discard()


def _look(here: Directory, name: str) -> Directory | None:
    try:
        return Directory(os.open(name, LOOK, dir_fd=here.fd))
    except FileNotFoundError:
        return None


def _owner(here: Directory, name: str) -> int:
    """Of the directory that a path led to, or of the one that it is in."""
    if name:
        with contextlib.suppress(FileNotFoundError):
            status = here.lstat(name)
            if stat.S_ISDIR(status.st_mode):
                return status.st_uid
    return here.lstat("").st_uid


def _is_trusted(uid: int) -> bool:
    return uid in (0, os.geteuid()) or (uid == _OVERFLOW_ID and not _knows_all_users())


def _knows_all_users() -> bool:
    with open("/proc/self/uid_map", "rb") as file:
        return file.read().split() == [b"0", b"0", b"4294967295"]
