"""The mode of `--chmod`: octal, or symbolic as in chmod(1), read as BuildKit reads it (BSD's setmode, umask 0)."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from typing import TypeAlias

from builder.errors import DockerfileError

ModeChange: TypeAlias = Callable[[int, bool], int]
"""(permission bits, is it a directory) -> the new permission bits; all twelve of them, as in `stat.S_IMODE`."""

_OCTAL = r"[0-7]+\Z"
_CLAUSE = r"([ugoa]*)((?:[-+=][rwxXstugo]*)+)\Z"
_ACTION = r"([-+=])([rwxXstugo]*)"
_WHO = {"u": stat.S_ISUID | 0o700, "g": stat.S_ISGID | 0o070, "o": 0o007, "a": stat.S_ISUID | stat.S_ISGID | 0o777}
_PERMISSION = {"r": 0o444, "w": 0o222, "x": 0o111}
_SHIFT = {"u": 6, "g": 3, "o": 0}


class BadMode(DockerfileError):
    code = "bad-chmod"

    def __init__(self, text: str) -> None:
        super().__init__(f"invalid chmod parameter: `{text}`",
                         hint="give an octal number between 0 and 07777, or a symbolic mode such as u=rwX,go=rX")


def octal_mode(text: str) -> int | None:
    """The bits of an octal mode, None if `text` is not octal. Raises BadMode above 07777."""
    if not re.match(_OCTAL, text):
        return None
    mode = int(text, 8)
    if mode > 0o7777:
        raise BadMode(text)
    return mode


def parse_mode(text: str) -> ModeChange:
    """What a mode does to permission bits. Raises BadMode."""
    fixed = octal_mode(text)
    if fixed is not None:
        return lambda _bits, _is_dir: fixed
    clauses = [re.match(_CLAUSE, clause) for clause in text.split(",")]
    actions: list[tuple[str, str, str]] = []
    for clause in clauses:
        if clause is None:
            raise BadMode(text)
        actions.extend((clause[1], operator, letters) for operator, letters in re.findall(_ACTION, clause[2]))

    def change(bits: int, is_dir: bool) -> int:
        executable = is_dir or bits & 0o111 != 0
        result = bits
        for who, operator, letters in actions:
            result = _act(result, who, operator, letters, executable)
        return result

    return change


def _act(bits: int, who: str, operator: str, letters: str, executable: bool) -> int:
    """One `+rw` of a clause; `executable` decides what `X` means, from the mode before any change."""
    mask = 0
    for letter in who or "a":
        mask |= _WHO[letter]
    if operator == "=":
        bits &= ~mask
    for letter in letters:
        if letter in _SHIFT:
            bits = _copy_class(bits, who or "a", operator, bits >> _SHIFT[letter] & 0o7)
            continue
        if letter == "t":
            touched = stat.S_ISVTX if who != "o" else 0
        elif letter == "s":
            touched = mask & (stat.S_ISUID | stat.S_ISGID)
        elif letter == "X":
            touched = mask & 0o111 if executable or operator == "-" else 0
        else:
            touched = mask & _PERMISSION[letter]
        bits = bits & ~touched if operator == "-" else bits | touched
    return bits


def _copy_class(bits: int, who: str, operator: str, value: int) -> int:
    """`u=g` and its like: the three bits of one class given to others."""
    for letter, shift in _SHIFT.items():
        if letter not in who and "a" not in who:
            continue
        if operator == "=":
            bits &= ~(0o7 << shift)
        bits = bits & ~(value << shift) if operator == "-" else bits | value << shift
    return bits
