"""What git ignores below a directory: .gitignore files, .git/info/exclude, and no file that the index has.

The directory need not be the top of its work tree; without a repository it counts as one. What a user's own
configuration names (core.excludesFile) does not count: a build is the same for everybody. Patterns are pathspec's; the
order in which git asks them (from the top down, the deepest file first) is gitignore(5)'s.
"""

from __future__ import annotations

import os
import posixpath
import re
import struct
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from builder.rooted.named import open_folder
from builder.rooted.root import Root

NAME = ".gitignore"
_MAX_RULES = 1 << 20
_MAX_INDEX = 256 << 20
_MANY_STARS = 4
"""From more on, a backtracking matcher may take long for one name."""
_BLANK_AT_END = r"(?<!\\) (?= *\Z)"
"""One that a slash behind it kept, and that would not count without."""


class _Rule(msgspec.Struct, frozen=True):
    ignores: bool
    """False for a `!` pattern."""
    match: Callable[[str], Any]


class _Rules(msgspec.Struct, frozen=True):
    """Of one file, the last first, which decides."""

    files: tuple[_Rule, ...] = ()
    directories: tuple[_Rule, ...] = ()


class GitIgnore:
    """Paths are relative to the directory, canonical, and what is at them is not looked at."""

    def __init__(self, directory: str) -> None:
        """Raises OSError."""
        folder = open_folder(directory)
        path = os.readlink(f"/proc/self/fd/{folder.fd}")
        top = _top_of(path)
        self._root = Root(top, hold=True)
        self._prefix = "" if top == path else f"{path[len(top):].lstrip('/')}/"
        self._ignored: dict[str, bool] = {"": False}
        """Of directories, from the top."""
        self._rules: dict[str, _Rules] = {}
        git = _git_folder(self._root)
        self._exclude = _parse(_read(git[1], "info/exclude", _MAX_RULES)) if git else _Rules()
        self._tracked = frozenset(_index(git[0], git[1])) if git else frozenset()
        self._tracked_in = {folder for path in self._tracked for folder in _folders(path)}

    def ignores(self, path: str, *, is_dir: bool = False) -> bool:
        """Whether git ignores it. A directory with a tracked file is not ignored, though others in it may be."""
        path = self._prefix + path
        if path in self._tracked or path in self._tracked_in:
            return False
        return self._is_ignored(path, is_dir=is_dir)

    def _is_ignored(self, path: str, *, is_dir: bool) -> bool:
        """By the rules alone."""
        if is_dir and path in self._ignored:
            return self._ignored[path]
        parent = posixpath.dirname(path)
        ignored = self._is_ignored(parent, is_dir=True) or self._matches(path, is_dir=is_dir)
        if is_dir:
            self._ignored[path] = ignored
        return ignored

    def _matches(self, path: str, *, is_dir: bool) -> bool:
        folder = posixpath.dirname(path)
        while True:
            verdict = _verdict(self._rules_in(folder), path[len(folder) + 1:] if folder else path, is_dir=is_dir)
            if verdict is not None:
                return verdict
            if not folder:
                return bool(_verdict(self._exclude, path, is_dir=is_dir))
            folder = posixpath.dirname(folder)

    def _rules_in(self, folder: str) -> _Rules:
        found = self._rules.get(folder)
        if found is None:
            found = self._rules[folder] = _parse(_read(self._root, posixpath.join(folder, NAME), _MAX_RULES))
        return found


def _verdict(rules: _Rules, path: str, *, is_dir: bool) -> bool | None:
    for rule in rules.directories if is_dir else rules.files:
        found = rule.match(path)
        if found is not None and not found.groupdict().get("ps_d"):  # else it matches a directory above the path
            return rule.ignores
    return None


def _parse(data: bytes) -> _Rules:
    """Lines that are no pattern count for nothing, as in git."""
    files: list[_Rule] = []
    directories: list[_Rule] = []
    for line in data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").split("\n"):
        line = line.removesuffix("\r")
        bare = line.rstrip(" ")
        is_for_directories = bare.endswith("/")
        rule = _rule(re.sub(_BLANK_AT_END, r"\\ ", bare[:-1]) if is_for_directories else line)
        if rule is not None:
            directories.append(rule)
            if not is_for_directories:
                files.append(rule)
    return _Rules(tuple(reversed(files)), tuple(reversed(directories)))


def _rule(line: str) -> _Rule | None:
    if not line or line.startswith("#"):
        return None
    from pathspec import GitIgnoreSpec

    try:
        pattern = next(iter(GitIgnoreSpec.from_lines([line]).patterns), None)
    except ValueError:
        return None
    if pattern is None or pattern.include is None or pattern.regex is None:
        return None
    if line.count("*") <= _MANY_STARS:
        return _Rule(pattern.include, pattern.regex.match)
    import re2

    match = re2.compile(os.fsencode(pattern.regex.pattern)).match
    return _Rule(pattern.include, lambda path: match(os.fsencode(path)))


# -- the repository ------------------------------------------------------------------------------------------------


def _top_of(path: str) -> str:
    """The nearest directory with a `.git` that belongs to root, this user or the owner of `path`; else `path`."""
    trusted = {0, os.geteuid(), Root(path).lstat("").st_uid}
    here = path
    while True:
        try:
            if Root(here).lstat(".git").st_uid in trusted:
                return here
        except OSError:
            pass
        if here == "/":
            return path
        here = posixpath.dirname(here)


def _git_folder(top: Root) -> tuple[Root, Root] | None:
    """The folder with the index, and that with what all work trees share."""
    try:
        return (own := Root(posixpath.join(top.path, ".git"), top=top.directory(".git"))), own
    except OSError:
        named = _read(top, ".git", 4096)
    if not named.startswith(b"gitdir: "):
        return None
    try:
        own = _beside(top.path, named.removeprefix(b"gitdir: "))
        common = _read(own, "commondir", 4096)
        return own, _beside(own.path, common) if common else own
    except (OSError, ValueError):
        return None


def _beside(folder: str, name: bytes) -> Root:
    path = posixpath.normpath(posixpath.join(folder, os.fsdecode(name.rstrip(b"\n"))))
    return Root(path, top=open_folder(path))


def _index(own: Root, common: Root) -> Iterator[str]:
    """The paths in the index (gitformat-index(5)), if it is there and can be read."""
    data = _read(own, "index", _MAX_INDEX)
    config = _read(common, "config", _MAX_RULES)
    size = 32 if re.search(rb"(?im)^\s*objectformat\s*=\s*sha256", config) else 20
    if data[:4] != b"DIRC":
        return
    version, count = struct.unpack_from(">II", data, 4)
    position, name = 12, b""
    try:
        for _ in range(count):
            flags_at = position + 40 + size
            start = flags_at + (4 if data[flags_at] & 0x40 else 2)
            if version == 4:
                strip, start = _offset(data, start)
                end = data.index(b"\0", start)
                name = name[:len(name) - strip] + data[start:end]
                position = end + 1
            else:
                end = data.index(b"\0", start)
                name = data[start:end]
                position += (end - position + 8) & ~7
            yield os.fsdecode(name)
    except (IndexError, ValueError):
        return


def _offset(data: bytes, position: int) -> tuple[int, int]:
    """A number in git's variable width, and where it ends."""
    value = data[position] & 127
    while data[position] & 128:
        position += 1
        value = (value + 1) << 7 | data[position] & 127
    return value, position + 1


def _folders(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path


def _read(root: Root, path: str, most: int) -> bytes:
    """The regular file at `path`; b"" where there is none to be read. A link is not followed, as in git."""
    try:
        parent, _, name = path.rpartition("/")
        with open(root.directory(parent).open(name), "rb") as file:
            data = file.read(most + 1)
    except OSError:
        return b""
    return data if len(data) <= most else b""
