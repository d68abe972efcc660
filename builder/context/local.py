"""A directory of this machine as a build context: what it holds, less what its ignore file hides.

Read in place, nothing is copied or sent anywhere. Every file counts as owned by 0:0. Symbolic links are files like any
other here; they are followed inside the context.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence

from builder.errors import ContextError
from builder.language.ignore import IgnoreRules, MatchState
from builder.layer.resolution import TooManyLinks, canonical, follow
from builder.layer.tree import Entry
from builder.layer.view import ABSENT
from builder.rooted.named import open_folder
from builder.rooted.root import Directory, Root

IGNORE_FILES = (".dockerignore", ".containerignore")
MAX_IGNORE_FILE = 16 << 20
_VISIBLE = (False, 0)


class Unreadable(ContextError):
    """A file or directory of the context that this user may not read; `path` is relative to the context."""

    code = "context-unreadable"

    def __init__(self, path: str, error: OSError) -> None:
        super().__init__(f"cannot read `{path or '.'}` in the build context", cause=error.strerror or str(error),
                         hint="make it readable, or exclude it in .dockerignore")
        self.path = path


class LocalContext:
    """The tree under the directory `root`; `rules` hide paths, None hides nothing.

    Nothing outside `root` is ever looked at. Raises Unreadable where a directory cannot be listed. What came as an
    archive is not `root_owned`: its files keep their owners.
    """

    def __init__(self, root: str, rules: IgnoreRules | None = None, *, root_owned: bool = True,
                 files: Root | None = None) -> None:
        """`files` is what another context of the same root holds open."""
        self.root_owned = root_owned
        self.named: Sequence[str] | None = None
        """The paths and patterns by which a build takes files of it, where only those would be sent; see `sent.py`."""
        self._rules = rules
        try:
            self._files = files or _opened(root)
        except OSError as error:
            raise Unreadable("", error) from error
        self.root = self._files.path

    def anew(self) -> LocalContext:
        """The same folder as it is now, whatever was listed of it before."""
        return LocalContext(self.root, self._rules, root_owned=self.root_owned, files=self._files)

    @property
    def rules(self) -> IgnoreRules | None:
        return self._rules

    # -- FileTree ------------------------------------------------------------------------------------------------

    def lstat(self, path: str) -> Entry | None:
        try:
            return self._at(canonical(self._at, path, follow_last=False))
        except TooManyLinks:
            return None

    def children(self, path: str) -> list[Entry]:
        directory = self._directory(path)
        if directory is None:
            return []
        if self._rules is None:
            return self._list(directory.path)
        state = self._rules.match_parents(directory.path)
        return [entry for entry in self._list(directory.path) if self._is_visible(entry, state)]

    def walk(self, path: str) -> Iterator[Entry]:
        directory = self._directory(path)
        if directory is None:
            return iter(())
        if self._rules is None:
            return self._walk_all(directory.path)
        return self._walk_visible(directory.path, self._rules, self._rules.match_parents(directory.path))

    # -- what is hidden -------------------------------------------------------------------------------------------

    def taken_by(self, words: Sequence[str]) -> LocalContext:
        """The same tree for a build that takes no files of it but by `words`. Archives are unpacked as a whole."""
        if not self.root_owned:
            return self
        narrowed = object.__new__(type(self))  # as copy.copy does, whose module costs a no-op build a hundredth
        narrowed.__dict__.update(self.__dict__)
        narrowed.named = words
        return narrowed

    def excluded_by(self, path: str) -> str | None:
        """The ignore rule that hides the canonical `path`, in words; None if it is not there at all, or visible."""
        if self._rules is None or not self._exists(path):
            return None
        return self._rules.explain(path)

    def _is_visible(self, entry: Entry, parent: MatchState) -> bool:
        assert self._rules is not None
        hidden, state = self._rules.match(entry.path, parent)
        if not hidden:
            return True
        # A directory whose content is partly re-included is visible as the parent of that content.
        if not entry.is_dir or not self._rules.may_have_inclusions_below(entry.path):
            return False
        return next(self._walk_visible(entry.path, self._rules, state), None) is not None

    # -- reading --------------------------------------------------------------------------------------------------

    def _at(self, path: str) -> Entry | None:
        """The entry at a canonical path."""
        try:
            entry = Entry(path, self._files, self._files.lstat(path))
        except OSError as error:
            if error.errno in ABSENT:
                return None
            raise Unreadable(path, error) from error
        if not path or self._rules is None:
            return entry
        return entry if self._is_visible(entry, self._rules.match_parents(path.rpartition("/")[0])) else None

    def _exists(self, path: str) -> bool:
        try:
            self._files.lstat(path)
        except OSError:
            return False
        return True

    def _directory(self, path: str) -> Entry | None:
        try:
            entry = self._at(canonical(self._at, path, follow_last=False))
        except TooManyLinks:
            return None
        return entry if entry is not None and entry.is_dir else None

    def _list(self, path: str) -> list[Entry]:
        """Everything in a directory, sorted by the bytes of the names."""
        prefix = f"{path}/" if path else ""
        files = self._files
        try:
            directory = files.directory(path)
            names, fd = directory.names(), directory.fd
            try:
                return [Entry(prefix + name, files, os.stat(name, dir_fd=fd, follow_symlinks=False)) for name in names]
            except FileNotFoundError:
                return [Entry(prefix + name, files, status) for name in names
                        if (status := _lstat(name, directory)) is not None]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Unreadable(path, error) from error

    def _walk_all(self, path: str) -> Iterator[Entry]:
        pending = self._list(path)
        pending.reverse()
        while pending:
            entry = pending.pop()
            yield entry
            if stat.S_ISDIR(entry.stat.st_mode):
                pending.extend(reversed(self._list(entry.path)))

    def _walk_visible(self, path: str, rules: IgnoreRules, state: MatchState) -> Iterator[Entry]:
        """Without what `rules` hide; a hidden directory is there if something below it is visible."""
        match = rules.match
        waiting: list[Entry] = []
        """Hidden directories on the way, nothing visible found in them so far."""
        levels: list[tuple[Iterator[Entry], MatchState, bool, Entry | None]] = []

        def enter(path: str, state: MatchState, directory: Entry | None) -> None:
            entries = self._list(path)
            levels.append((iter(entries), state, rules.hides_none([entry.path for entry in entries], state), directory))

        enter(path, state, None)
        while levels:
            entries, state, all_visible, directory = levels[-1]
            for entry in entries:
                hidden, below = _VISIBLE if all_visible else match(entry.path, state)
                if not hidden:
                    if waiting:
                        yield from waiting
                        waiting.clear()
                    yield entry
                    if stat.S_ISDIR(entry.stat.st_mode):
                        enter(entry.path, below, None)
                        break
                elif entry.is_dir and rules.has_exceptions and rules.may_have_inclusions_below(entry.path):
                    waiting.append(entry)
                    enter(entry.path, below, entry)
                    break
            else:
                levels.pop()
                if waiting and waiting[-1] is directory:
                    waiting.pop()


class ListedContext(LocalContext):
    """A context of which every directory is read once, however often and from however many sides it is asked for."""

    def __init__(self, of: LocalContext) -> None:
        """The same files under the same rules, with the same owners."""
        super().__init__(of.root, of.rules, root_owned=of.root_owned, files=of._files)
        self._listings: dict[str, list[Entry]] = {}

    def _list(self, path: str) -> list[Entry]:
        listing = self._listings.get(path)
        if listing is None:
            listing = self._listings[path] = super()._list(path)
        return listing.copy()  # the walker empties it


def _opened(path: str) -> Root:
    folder = open_folder(path)
    return Root(os.readlink(f"/proc/self/fd/{folder.fd}"), top=folder)


def _lstat(name: str, directory: Directory) -> os.stat_result | None:
    try:
        return directory.lstat(name)
    except FileNotFoundError:
        return None


def find_ignore_file(context_dir: str, dockerfile_path: str) -> tuple[str, str] | None:
    """The ignore file that goes with a Dockerfile, as (path, text): its own `<Dockerfile>.dockerignore`, also outside
    the context, before those of the context. None if there is none; `dockerfile_path` may be "".
    """
    for path in [dockerfile_path + name for name in IGNORE_FILES] if dockerfile_path else ():
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in ABSENT:
                continue
            raise Unreadable(path, error) from error
        return path, _read_ignore_file(fd, path)
    context = LocalContext(context_dir)
    for name in IGNORE_FILES:
        # A link counts as it is meant: one that leads out of the context leads nowhere.
        entry = follow(context, name)
        if entry is not None:
            path = os.path.join(context_dir, name)
            try:
                return path, _read_ignore_file(entry.open(), path)
            except OSError as error:
                raise Unreadable(path, error) from error
    return None


def _read_ignore_file(fd: int, path: str) -> str:
    with open(fd, "rb") as file:
        try:
            data = file.read(MAX_IGNORE_FILE + 1)
        except OSError as error:
            raise Unreadable(path, error) from error
    if len(data) > MAX_IGNORE_FILE:
        raise ContextError(f"`{path}` is larger than {MAX_IGNORE_FILE >> 20} MiB")
    return data.decode("utf-8", "surrogateescape")
