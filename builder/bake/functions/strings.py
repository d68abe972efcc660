"""Text: cutting, joining, searching."""

from __future__ import annotations

import posixpath
import re

from builder.bake.errors import ExpressionError
from builder.bake.functions.clusters import clusters
from builder.bake.functions.formatting import format_list, format_size, format_text
from builder.bake.functions.function import Function
from builder.bake.real import Counted
from builder.bake.types import STRING, ListValue
from builder.bake.values import Value
from builder.golang.space import SPACE

_MAX_INDENT = 10_000


def _substring(text: str, offset: int, length: int) -> str:
    characters = clusters(text)
    start = max(len(characters) + offset, 0) if offset < 0 else offset
    return "".join(characters[start:] if length < 0 else characters[start:start + length])


def _upper(text: str) -> str:
    return "".join(map(_upper_character, text))


def _upper_character(character: str) -> str:
    """Go's rule: one character for another, so `ß` stays what it is."""
    upper = character.upper()
    return upper if len(upper) == 1 else _title_character(character)


def _title_character(character: str) -> str:
    title = character.title()
    return title if len(title) == 1 else character


def _lower(text: str) -> str:
    return "".join("i" if character == "\u0130" else character.lower() for character in text)


def _title(text: str) -> str:
    out: list[str] = []
    starts = True
    for character in text:
        out.append(_title_character(character) if starts else character)
        is_word = character == "_" or character.isalnum()
        starts = not is_word and (character.isascii() or character in SPACE)
    return "".join(out)


def _indent(spaces: int, text: str) -> str:
    if spaces > _MAX_INDENT:
        raise ExpressionError(f"cannot indent by more than {_MAX_INDENT} spaces")
    return text.replace("\n", "\n" + " " * max(spaces, 0))


def _join(separator: str, *lists: tuple[str, ...]) -> str:
    return separator.join(item for each in lists for item in each)


def _joined_size(separator: str, *lists: tuple[str, ...]) -> int:
    return sum(len(separator) + len(item) for each in lists for item in each)


def _split(separator: str, text: str) -> Value:
    return ListValue.of(text.split(separator) if separator else clusters(text), STRING)


def _basename(path: str) -> str:
    return posixpath.basename(path.rstrip("/")) or ("/" if path else ".")


def _dirname(path: str) -> str:
    return posixpath.normpath(path.rpartition("/")[0] or ("/" if path.startswith("/") else "."))


def _sanitize(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)


def _home() -> str:
    import os

    return os.path.expanduser("~")


FUNCTIONS = {
    "basename": Function(_basename, ("string",)), "dirname": Function(_dirname, ("string",)),
    "homedir": Function(_home), "sanitize": Function(_sanitize, ("string",)),
    "chomp": Function(lambda text: re.sub(r"[\r\n]+\Z", "", text), ("string",)),
    "format": Function(format_text, ("string",), "any?", format_size),
    "formatlist": Function(format_list, ("string",), "any?", format_size),
    "indent": Function(_indent, ("whole", "string"),
                       size=lambda spaces, text: len(text) + text.count("\n") * max(spaces, 0)),
    "join": Function(_join, ("string", "strings"), "strings", _joined_size),
    "lower": Function(_lower, ("string",)), "upper": Function(_upper, ("string",)),
    "title": Function(_title, ("string",)),
    "replace": Function(lambda text, old, new: text.replace(old, new), ("string", "string", "string"),
                        size=lambda text, old, new: len(text) + text.count(old) * len(new)),
    "reverse": Function(lambda text: "".join(reversed(clusters(text))), ("string",)),
    "split": Function(_split, ("string", "string")),
    "strlen": Function(lambda text: Counted(len(clusters(text))), ("string",)),
    "substr": Function(_substring, ("string", "whole", "whole")),
    "trim": Function(lambda text, cut: text.strip(cut) if cut else text, ("string", "string")),
    "trimprefix": Function(str.removeprefix, ("string", "string")),
    "trimsuffix": Function(str.removesuffix, ("string", "string")),
    "trimspace": Function(lambda text: text.strip(SPACE), ("string",)),
}
