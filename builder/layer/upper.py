"""From what overlayfs left in an upper directory to what a RUN changed.

Overlayfs copies a directory up before it writes into it, a file before it changes an attribute to the same value, marks
new directories as opaque for speed, and keeps whiteouts of what came and went. `prune_upper` reduces this to the
difference that BuildKit's overlay differ would write, so that the same step gives the same layer.
"""

from __future__ import annotations

import contextlib
import os
import stat
from functools import partial

from builder.errors import StoreError
from builder.layer.comparing import have_same_bytes
from builder.layer.overlay import clear_opaque, is_whiteout, make_whiteout, read_xattrs, set_owner
from builder.layer.tree import Entry, FileTree
from builder.layer.view import has_one_owner_only
from builder.rooted.root import Directory, Root

_SECOND = 1_000_000_000
_PATH_LIMIT = 4000
"""Bytes of a path that an image may hold, less than PATH_MAX so that it can be unpacked somewhere."""
_SHOWN = 60
"""Characters of a very long path."""


class UpperUnusable(StoreError):
    code = "upper-unusable"

    def __init__(self, path: str, cause: OSError) -> None:
        super().__init__(f"cannot read what the step changed at `/{path}`", cause=cause.strerror or str(cause))


class UpperTooDeep(StoreError):
    code = "upper-too-deep"

    def __init__(self, path: str) -> None:
        super().__init__(
            f"the step left a path that is too long for an image: `/{path[:_SHOWN]}...`",
            notes=(f"a path may have {_PATH_LIMIT} bytes",),
            hint="let the step remove it, or keep it in `RUN --mount=type=tmpfs,target=...`",
        )


def prune_upper(upper_dir: str, below: FileTree) -> None:
    """Reduces the unmounted upper directory `upper_dir` to what differs from `below`, its lower layers.

    Goes: whiteouts of nothing; files, links and devices that equal what is below (in times and attributes; where times
    are whole seconds also in content); directories that are as below and hold nothing any more; opaque marks, replaced
    by one whiteout for each name they hid. Times of directories stay. Idempotent. Raises UpperUnusable, UpperTooDeep.
    """
    pruning = _Pruning(upper_dir, below)
    try:
        if has_one_owner_only():
            pruning.inherit_groups()
        pruning.run()
    except OSError as error:
        raise UpperUnusable(pruning.path, error) from error


class _Pruning:
    def __init__(self, upper_dir: str, below: FileTree) -> None:
        self._upper = Root(upper_dir, hold=True)
        self._below = below
        self._times: dict[str, int] = {}
        """When the directories in which something may be removed were changed last."""
        self.path = ""

    def inherit_groups(self) -> None:
        """Records the group that new files have from their directory (its setgid bit): where only one id exists, the
        kernel knows the directory's group no better than anybody's.
        """
        pending = [""]
        while pending:
            self.path = pending.pop()
            directory = self._upper.directory(self.path)
            status, owner = os.stat(directory.fd), read_xattrs(directory, "").owner
            group = owner[1] if owner and status.st_mode & stat.S_ISGID else None
            for name in directory.names():
                child = f"{self.path}/{name}" if self.path else name
                status = directory.lstat(name)
                if group is not None and _can_be_recorded(directory, name, status) and self._below.lstat(child) is None:
                    fd = directory.open(name)
                    set_owner(fd, status.st_uid, group)
                    os.close(fd)
                if stat.S_ISDIR(status.st_mode):
                    pending.append(child)

    def run(self) -> None:
        pending = [("", False)]
        merged: list[tuple[str, Entry]] = []
        while pending:
            self.path, hidden = pending.pop()
            for name, lower, hides in self._directory(self.path, hidden):
                pending.append((name, hides))
                merged.append((name, lower))
        for path, lower in reversed(merged):
            self._drop_if_same(path, lower)
        for path, time in self._times.items():
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                self._upper.directory(path).utime("", time)

    def _directory(self, path: str, hidden: bool) -> list[tuple[str, Entry, bool]]:
        """Prunes one directory that is also below; returns those in it, and whether something hides theirs."""
        directory = self._upper.directory(path)
        self._times[path] = os.stat(directory.fd).st_mtime_ns
        hidden = clear_opaque(directory, "") or hidden
        names = directory.names()
        directories = []
        for name in names:
            child = f"{path}/{name}" if path else name
            _check_length(child)
            lower = self._below.lstat(child)
            status = directory.lstat(name)
            if not stat.S_ISDIR(status.st_mode):
                if _says_nothing(directory, name, status, lower):
                    os.unlink(name, dir_fd=directory.fd)
            elif lower is not None and lower.is_dir:
                directories.append((child, lower, hidden))
            else:
                _clear_opaque_below(directory, name, child)
        if hidden:
            for entry in self._below.children(path):
                name = entry.path.rpartition("/")[2]
                if name not in names:
                    make_whiteout(name, dir_fd=directory.fd)
        return directories

    def _drop_if_same(self, path: str, lower: Entry) -> None:
        directory, name = self._upper.locate(path)
        if _has_same_attributes(directory, name, directory.lstat(name), lower):
            try:
                os.rmdir(name, dir_fd=directory.fd)
            except OSError:
                return  # it still holds something


def _can_be_recorded(directory: Directory, name: str, status: os.stat_result) -> bool:
    kind = stat.S_IFMT(status.st_mode)
    return kind in (stat.S_IFREG, stat.S_IFDIR) and read_xattrs(directory, name).owner is None


def _check_length(path: str) -> None:
    if len(path) > _PATH_LIMIT // 4 and len(os.fsencode(path)) > _PATH_LIMIT:
        raise UpperTooDeep(path)


def _clear_opaque_below(parent: Directory, name: str, path: str) -> None:
    """Of a directory with nothing below it, and of all in it."""
    pending = [(parent, name, path)]
    while pending:
        directory, name, path = pending.pop()
        _check_length(path)
        if not stat.S_ISDIR(directory.lstat(name).st_mode):
            continue
        inner = directory.enter(name)
        clear_opaque(inner, "")
        pending += [(inner, name, f"{path}/{name}") for name in inner.names()]


def _says_nothing(directory: Directory, name: str, status: os.stat_result, lower: Entry | None) -> bool:
    if is_whiteout(status):
        return lower is None
    return lower is not None and _is_same(directory, name, status, lower)


def _is_same(directory: Directory, name: str, status: os.stat_result, lower: Entry) -> bool:
    """Whether a file was copied up without being changed."""
    other = lower.stat
    if not _has_same_attributes(directory, name, status, lower) or status.st_size != other.st_size:
        return False
    if status.st_mtime_ns != other.st_mtime_ns:
        return False
    if status.st_mtime_ns % _SECOND:
        return True
    if stat.S_ISLNK(status.st_mode):
        return directory.readlink(name) == lower.readlink()
    return not stat.S_ISREG(status.st_mode) or have_same_bytes(partial(directory.open, name), lower.open)


def _has_same_attributes(directory: Directory, name: str, status: os.stat_result, lower: Entry) -> bool:
    other = lower.stat
    if status.st_mode != other.st_mode:
        return False
    owners = (status.st_uid, status.st_gid), (other.st_uid, other.st_gid)
    if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        return status.st_rdev == other.st_rdev and owners[0] == owners[1]
    if stat.S_ISLNK(status.st_mode):
        return owners[0] == owners[1]
    mine, theirs = read_xattrs(directory, name), read_xattrs(lower.root, lower.path)
    return (mine.capability, mine.owner or owners[0]) == (theirs.capability, theirs.owner or owners[1])
