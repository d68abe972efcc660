"""The Lark parsers of the grammars in `grammar/`, ready to use.

Lark takes 45 ms to work out the tables and 7 ms to load them (on top of 27 ms to import it), so they are kept in the
user's cache folder as MessagePack (plain data: reading it can run no code), under a name made of the grammar, the
versions of Lark and Python, and the escape character. A file or folder that another user could have written is not
read. Any fault of the cache only costs the time to build the tables again.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import threading
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from builder.golang.space import SPACE

if TYPE_CHECKING:
    from lark import Lark, Token, Tree

_FORMAT = 1
"""Raise it when the cached bytes change their meaning for the same grammar."""


class Reader:
    """Runs Lark's tables over one line or word. Lark's own loop keeps count of lines and of what would have been
    expected; here every text has a reading, so that is left out: it takes a third of the time.
    """

    def __init__(self, lark: Lark) -> None:
        from lark.parsers.lalr_analysis import Shift

        lalr, lexers = lark.parser.parser, lark.parser.lexer.lexers
        self._shift = Shift
        self._table = lalr._parse_table
        self._callbacks = lalr.parser.callbacks
        self._lexers = lexers
        self._ignored = frozenset(lark.parser.lexer_conf.ignore)
        self._scanners: dict[int, Callable[[str, int], re.Match[str] | None]] = {}

    def read(self, text: str, start: str) -> Tree[Token]:
        """The tree of `text`, which has one reading as a `start` of the grammar."""
        from lark import Token

        states, callbacks, scanners, shift = self._table.states, self._callbacks, self._scanners, self._shift
        stack = [self._table.start_states[start]]
        values: list[Any] = []
        end, at, length = self._table.end_states[start], 0, len(text)
        while True:
            state = stack[-1]
            if at < length:
                match = (scanners.get(state) or self._scanner(state))(text, at)
                assert match is not None, f"{start} has no reading at {at}: {text!r}"
                kind, before, at = match.lastgroup or "", at, match.end()
                if kind in self._ignored:
                    continue
                token = Token(kind, match[0], before, end_pos=at)
            else:
                kind = "$END"
            while True:
                action, argument = states[stack[-1]][kind]
                if action is shift:
                    stack.append(argument)
                    values.append(token)
                    break
                children: list[Any] = []
                if size := len(argument.expansion):
                    children = values[-size:]
                    del stack[-size:], values[-size:]
                values.append(callbacks[argument](children))
                stack.append(states[stack[-1]][argument.origin.name][1])
                if kind == "$END" and stack[-1] == end:
                    tree: Tree[Token] = values[-1]
                    return tree

    def _scanner(self, state: int) -> Callable[[str, int], re.Match[str] | None]:
        (pattern,) = self._lexers[state].scanner._mres
        self._scanners[state] = pattern.match
        return self._scanners[state]


_STARTS = {"instruction": ["start"], "word": ["word", "body"], "mount": ["mount"]}


@cache
def reader_of(grammar: str, escape: str = "\\") -> Reader:
    """The reader of `grammar/NAME.lark` for a file whose escape character is `escape`."""
    return Reader(_parser(grammar, escape))


def _parser(grammar: str, escape: str) -> Lark:
    import lark
    from lark import Lark

    spaces = "".join(f"\\u{ord(char):04x}" for char in SPACE)
    text = _source(f"{grammar}.lark").replace("⎋", "\\\\" if escape == "\\" else escape).replace("␠", spaces)
    identity = f"{_FORMAT} {lark.__version__} {sys.version_info[:2]} {text}"
    name = f"grammar-{sha256(identity.encode()).hexdigest()[:32]}.msgpack"
    if (tables := _cached(name)) is not None and (parser := _restored(tables)) is not None:
        return parser
    parser = Lark(text, parser="lalr", lexer="contextual", maybe_placeholders=False, start=_STARTS[grammar])
    _keep(name, parser)
    return parser


def _source(name: str) -> str:
    """The grammar's text: shipped as `builder/grammar` in the wheel, in `grammar/` at the top of a checkout."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for parent in (package, os.path.dirname(package)):
        try:
            with open(os.path.join(parent, "grammar", name), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            continue
    raise FileNotFoundError(f"grammar/{name} is missing from the installation")


def _restored(tables: bytes) -> Lark | None:
    import msgspec
    from lark import Lark

    try:
        data, memo = msgspec.msgpack.decode(tables)
        # what Lark's own standalone parsers call; it has no types
        parser: Lark = Lark._load_from_dict(data, memo)  # type: ignore[no-untyped-call]
    except Exception:  # damaged or from another Lark: there is nothing to save in it
        return None
    return parser


def _keep(name: str, parser: Lark) -> None:
    import msgspec
    from lark.grammar import Rule
    from lark.lexer import TerminalDef

    data, memo = parser.memo_serialize([TerminalDef, Rule])
    for entry in memo.values():
        if "_width" in entry.get("pattern", ()):
            # Lark's product of nested repeat limits outgrows 64 bits; it only serves to order terminals of one priority
            entry["pattern"]["_width"] = [min(width, 1 << 62) for width in entry["pattern"]["_width"]]
    tables = msgspec.msgpack.encode((data, memo), enc_hook=str)
    folder = _folder()
    if folder is None:
        return
    temporary = os.path.join(folder, f".{name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(tables)
        os.replace(temporary, os.path.join(folder, name))
    except OSError:
        return  # read-only or full: the next run builds the tables again


def _cached(name: str) -> bytes | None:
    folder = _folder()
    if folder is None:
        return None
    try:
        descriptor = os.open(os.path.join(folder, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        return file.read() if stat.S_ISREG(status.st_mode) and _is_ours(status) else None


def _folder() -> str | None:
    """A folder that is ours alone to write to: in $XDG_CACHE_HOME or ~/.cache, else in the system's for such files."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    temporary = os.environ.get("TMPDIR") or "/tmp"
    for folder in (os.path.join(home, "builder"), os.path.join(temporary, f"builder-cache-{os.geteuid()}")):
        if not os.path.isabs(folder):
            continue
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            status = os.lstat(folder)
        except OSError:
            continue
        if stat.S_ISDIR(status.st_mode) and _is_ours(status) and os.access(folder, os.W_OK):
            return folder
    return None


def _is_ours(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
