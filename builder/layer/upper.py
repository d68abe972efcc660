"""From what overlayfs left in an upper directory to what a RUN changed.

Overlayfs copies a directory up before it writes into it, a file before it changes an attribute to the same value, marks
new directories as opaque for speed, and keeps whiteouts of what came and went. `prune_upper` reduces this to the
difference that BuildKit's overlay differ would write, so that the same step gives the same layer.
"""

from __future__ import annotations

import errno
import os
import stat

from builder.errors import StoreError
from builder.layer.comparing import have_same_bytes
from builder.layer.overlay import clear_opaque, is_whiteout, make_whiteout, read_xattrs, set_owner
from builder.layer.tree import Entry, FileTree
from builder.layer.view import has_one_owner_only

_SECOND = 1_000_000_000
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
            notes=("a path may have about 4000 bytes",),
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
        if error.errno == errno.ENAMETOOLONG:
            raise UpperTooDeep(os.path.relpath(error.filename, upper_dir)) from error
        raise UpperUnusable(pruning.path, error) from error


class _Pruning:
    def __init__(self, upper_dir: str, below: FileTree) -> None:
        self._upper = upper_dir
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
            host = self._host(self.path)
            status, owner = os.lstat(host), read_xattrs(os.fsencode(host)).owner
            group = owner[1] if owner and status.st_mode & stat.S_ISGID else None
            with os.scandir(host) as listing:
                for item in listing:
                    child = f"{self.path}/{item.name}" if self.path else item.name
                    if group is not None and _can_be_recorded(item) and self._below.lstat(child) is None:
                        set_owner(item.path, item.stat(follow_symlinks=False).st_uid, group)
                    if item.is_dir(follow_symlinks=False):
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
            if os.path.isdir(host := self._host(path)):
                os.utime(host, ns=(time, time))

    def _directory(self, path: str, hidden: bool) -> list[tuple[str, Entry, bool]]:
        """Prunes one directory that is also below; returns those in it, and whether something hides theirs."""
        host = self._host(path)
        self._times[path] = os.stat(host).st_mtime_ns
        hidden = clear_opaque(host) or hidden
        names = set()
        directories = []
        with os.scandir(host) as listing:
            for item in list(listing):
                names.add(item.name)
                child = f"{path}/{item.name}" if path else item.name
                lower = self._below.lstat(child)
                if not item.is_dir(follow_symlinks=False):
                    if _says_nothing(item.path, item.stat(follow_symlinks=False), lower):
                        os.unlink(item.path)
                elif lower is not None and lower.is_dir:
                    directories.append((child, lower, hidden))
                else:
                    _clear_opaque_below(item.path)
        if hidden:
            for entry in self._below.children(path):
                name = entry.path.rpartition("/")[2]
                if name not in names:
                    make_whiteout(os.path.join(host, name))
        return directories

    def _drop_if_same(self, path: str, lower: Entry) -> None:
        host = self._host(path)
        if _has_same_attributes(host, os.lstat(host), lower):
            try:
                os.rmdir(host)
            except OSError:
                return  # it still holds something

    def _host(self, path: str) -> str:
        return f"{self._upper}/{path}" if path else self._upper


def _can_be_recorded(item: os.DirEntry[str]) -> bool:
    regular = item.is_file(follow_symlinks=False) or item.is_dir(follow_symlinks=False)
    return regular and read_xattrs(os.fsencode(item.path)).owner is None


def _clear_opaque_below(host: str) -> None:
    """Of a directory with nothing below it, and of all in it."""
    pending = [host]
    while pending:
        directory = pending.pop()
        clear_opaque(directory)
        with os.scandir(directory) as listing:
            pending += [item.path for item in listing if item.is_dir(follow_symlinks=False)]


def _says_nothing(host: str, status: os.stat_result, lower: Entry | None) -> bool:
    if is_whiteout(status):
        return lower is None
    return lower is not None and _is_same(host, status, lower)


def _is_same(host: str, status: os.stat_result, lower: Entry) -> bool:
    """Whether a file was copied up without being changed."""
    other = lower.stat
    if not _has_same_attributes(host, status, lower) or status.st_size != other.st_size:
        return False
    if status.st_mtime_ns != other.st_mtime_ns:
        return False
    if status.st_mtime_ns % _SECOND:
        return True
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(host) == os.readlink(lower.host)
    return not stat.S_ISREG(status.st_mode) or have_same_bytes(host, lower.host)


def _has_same_attributes(host: str, status: os.stat_result, lower: Entry) -> bool:
    other = lower.stat
    if status.st_mode != other.st_mode:
        return False
    owners = (status.st_uid, status.st_gid), (other.st_uid, other.st_gid)
    if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        return status.st_rdev == other.st_rdev and owners[0] == owners[1]
    if stat.S_ISLNK(status.st_mode):
        return owners[0] == owners[1]
    mine, theirs = read_xattrs(os.fsencode(host)), read_xattrs(os.fsencode(lower.host))
    return (mine.capability, mine.owner or owners[0]) == (theirs.capability, theirs.owner or owners[1])
