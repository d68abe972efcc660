"""What git ignores below a directory: .gitignore files, .git/info/exclude, and no file that the index has.

The directory need not be the top of its work tree; without a repository it counts as one. What a user's own
configuration names (core.excludesFile) does not count: a build is the same for everybody. Patterns are pathspec's,
tried all at once by re2, which no pattern makes slow; the order in which git asks them (from the top down, the deepest
file first) is gitignore(5)'s. All of it may come with a clone: what is larger than real files are counts for nothing.
"""

from __future__ import annotations

import os
import posixpath
import re
import stat
import struct
from bisect import bisect_left
from collections.abc import Callable, Iterator

import msgspec

from builder.rooted.named import open_folder
from builder.rooted.root import DIRECTORY, Directory, Root

NAME = ".gitignore"
_MAX_FILE = 1 << 20
_MAX_INDEX = 256 << 20
"""Of the file, and of all paths in it: version 4 shortens them."""
_LONGEST = 4096
"""Bytes of a path, and characters of a pattern."""
_MOST_RULES = 5_000
"""In one file: each can cost a path a microsecond."""
_MOST_RULES_IN_ALL = 100_000
_BELOW = "(?P<ps_d>/)"
"""How an expression of pathspec's ends that matches what is below a directory; here each directory is asked itself."""
_HERE_OR_BELOW = f"(?:{_BELOW}|$)"


class _Rules(msgspec.Struct, frozen=True):
    """Of one file."""

    folder: int
    """Length of the part of a path that the patterns are not about."""
    kinds: tuple[tuple[bool, bool], ...]
    """Of each, whether it ignores (else it has a `!`), and whether it is for directories alone."""
    match: Callable[[bytes], list[int] | None]
    """Those that match."""

    def verdict(self, path: str, *, is_dir: bool) -> bool | None:
        found = [number for number in self.match(os.fsencode(path[self.folder:])) or ()
                 if is_dir or not self.kinds[number][1]]
        return self.kinds[max(found)][0] if found else None


_Chain = tuple[_Rules, ...]
"""The rules for what is in a directory, those that are asked last at the front."""


class GitIgnore:
    """Paths are relative to the directory, canonical, and what is at them is not looked at."""

    def __init__(self, directory: str) -> None:
        """Raises OSError."""
        folder = open_folder(directory)
        path = os.readlink(f"/proc/self/fd/{folder.fd}")
        self._root = _top_of(Root(path, top=folder))
        self._prefix = f"{path.removeprefix(self._root.path).strip('/')}/".removeprefix("/")
        self._rules_left = _MOST_RULES_IN_ALL
        git = _git_folder(self._root)
        exclude = self._parse(_read(git[1], "info/exclude", _MAX_FILE), 0) if git else ()
        self._top = exclude + self._rules_in("")
        self._chains: dict[str, _Chain | None] = {}
        """Of the directories below; None for one that is ignored."""
        self._tracked = sorted(_index(*git)) if git else []

    def ignores(self, path: str, *, is_dir: bool = False) -> bool:
        """Whether git ignores it. A directory with a tracked file is not ignored, though others in it may be."""
        path = self._prefix + path
        return not self._is_tracked(os.fsencode(path)) and self._is_ignored(path, is_dir=is_dir)

    def _is_tracked(self, path: bytes) -> bool:
        """Whether the index has the file, or one below."""
        return any(found == path or found.startswith(path + b"/")
                   for at in (bisect_left(self._tracked, path), bisect_left(self._tracked, path + b"/"))
                   for found in self._tracked[at:at + 1])

    def _is_ignored(self, path: str, *, is_dir: bool) -> bool:
        """By the rules alone."""
        chain = self._top
        for slash in re.finditer("/", f"{path}/" if is_dir else path):
            folder = path[:slash.start()]
            if folder not in self._chains:
                ignored = _is_ignored(chain, folder, is_dir=True)
                self._chains[folder] = None if ignored else chain + self._rules_in(folder)
            below = self._chains[folder]
            if below is None:
                return True
            chain = below
        return not is_dir and _is_ignored(chain, path, is_dir=False)

    def _rules_in(self, folder: str) -> _Chain:
        return self._parse(_read(self._root, posixpath.join(folder, NAME), _MAX_FILE), len(folder) + 1 if folder else 0)

    def _parse(self, data: bytes, folder: int) -> _Chain:
        rules = _parse(data, folder)
        self._rules_left -= sum(len(each.kinds) for each in rules)
        return rules if self._rules_left >= 0 else ()


def _is_ignored(chain: _Chain, path: str, *, is_dir: bool) -> bool:
    verdicts = (rules.verdict(path, is_dir=is_dir) for rules in reversed(chain))
    return next((verdict for verdict in verdicts if verdict is not None), False)


def _parse(data: bytes, folder: int) -> _Chain:
    """The rules, if there are any. Lines that are no pattern count for nothing, as in git."""
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    lines = [line for line in text.replace("\r\n", "\n").removesuffix("\r").split("\n")
             if line and not line.startswith("#") and len(line) <= _LONGEST]
    if not lines or len(lines) > _MOST_RULES:
        return ()
    import re2
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

    options = re2.Options()
    options.encoding, options.dot_nl, options.log_errors = re2.Options.Encoding.LATIN1, True, False
    together, kinds = re2.Set.SearchSet(options), []
    for line in lines:
        bare = line.rstrip(" ")
        for_directories = bare.endswith("/")
        try:
            regex, ignores = GitIgnoreSpecPattern.pattern_to_regex(_blanks_kept(bare[:-1]) if for_directories else line)
            if regex is not None and ignores is not None and not regex.endswith(_BELOW):
                here = f"{regex.removesuffix(_HERE_OR_BELOW)}$" if regex.endswith(_HERE_OR_BELOW) else regex
                together.Add(os.fsencode(here))
                kinds.append((ignores, for_directories))
        except (ValueError, re2.error):
            continue
    try:
        together.Compile()
    except re2.error:  # too large
        return ()
    return (_Rules(folder, tuple(kinds), together.Match),) if kinds else ()


def _blanks_kept(line: str) -> str:
    """With the blanks at the end, which a slash behind them kept, as a line has them that ends there."""
    bare = line.rstrip(" ")
    escaped = bare + " " if bare.endswith("\\") and bare != line else bare
    return escaped + "\\ " * (len(line) - len(escaped))



# -- the repository ------------------------------------------------------------------------------------------------


def _top_of(here: Root) -> Root:
    """The nearest directory with a `.git` that belongs to root, this user or the owner of `here`; else `here`."""
    trusted = {0, os.geteuid(), here.lstat("").st_uid}
    above = here
    while True:
        try:
            if above.lstat(".git").st_uid in trusted:
                return above
        except OSError:
            pass
        parent = posixpath.dirname(above.path)
        if parent == above.path:
            return here
        above = Root(parent, top=Directory(os.open("..", DIRECTORY, dir_fd=above.directory("").fd)))


def _git_folder(top: Root) -> tuple[Root, Root] | None:
    """The folder with the index, and that with what all work trees share."""
    try:
        return (own := Root(posixpath.join(top.path, ".git"), top=top.directory(".git"))), own
    except OSError:
        named = _read(top, ".git", _LONGEST)
    if not named.startswith(b"gitdir: "):
        return None
    try:
        own = _beside(top.path, named.removeprefix(b"gitdir: "))
        common = _read(own, "commondir", _LONGEST)
        return own, _beside(own.path, common) if common else own
    except (OSError, ValueError):
        return None


def _beside(folder: str, name: bytes) -> Root:
    path = posixpath.normpath(posixpath.join(folder, os.fsdecode(name.rstrip(b"\n"))))
    return Root(path, top=open_folder(path))


def _index(own: Root, common: Root) -> Iterator[bytes]:
    """The paths in the index (gitformat-index(5)), if it is there, up to where it cannot be read."""
    data = _read(own, "index", _MAX_INDEX)
    if data[:4] != b"DIRC":
        return
    config = _read(common, "config", _MAX_FILE)
    size = 32 if re.search(rb"(?im)^[ \t]*objectformat[ \t]*=[ \t]*sha256", config) else 20
    position, name, left = 12, b"", _MAX_INDEX
    try:
        version, count = struct.unpack_from(">II", data, 4)
        for _ in range(count):
            flags_at = position + 40 + size
            start = flags_at + (4 if data[flags_at] & 0x40 else 2)
            kept = 0
            if version == 4:
                strip, start = _offset(data, start)
                kept = len(name) - strip
            end = data.index(b"\0", start)
            length = kept + end - start
            left -= length
            if kept < 0 or length > _LONGEST or left < 0:
                return
            name = name[:kept] + data[start:end]
            position = end + 1 if version == 4 else position + ((end - position + 8) & ~7)
            yield name
    except (struct.error, IndexError, ValueError):
        return


def _offset(data: bytes, position: int) -> tuple[int, int]:
    """A number in git's variable width, and where it ends; too large a one is cut off."""
    value = data[position] & 127
    while data[position] & 128 and value <= _LONGEST:
        position += 1
        value = (value + 1) << 7 | data[position] & 127
    return value, position + 1


def _read(root: Root, path: str, most: int) -> bytes:
    """The regular file at `path`; b"" where there is none to be read. A link is not followed, as in git."""
    try:
        parent, _, name = path.rpartition("/")
        fd = root.directory(parent).open(name)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            return b""
        with open(fd, "rb") as file:
            data = file.read(most + 1)
    except OSError:
        return b""
    return data if len(data) <= most else b""
