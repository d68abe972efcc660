"""Text: cutting, joining, searching."""

from __future__ import annotations

import posixpath
import re

from builder.bake.errors import ExpressionError
from builder.bake.functions import Function
from builder.bake.functions.formatting import format_list, format_text
from builder.bake.values import Value

_MAX_INDENT = 10_000
_SPACE = "\t\n\v\f\r \x85\xa0"


def _clusters(text: str) -> list[str]:
    """What people count as characters: combining marks and joiners belong to what they follow."""
    import unicodedata

    found: list[str] = []
    for character in text:
        joins = unicodedata.combining(character) or character in "\u200d\ufe0f" or (found and found[-1][-1] == "\u200d")
        if found and (joins or (character == "\n" and found[-1] == "\r")):
            found[-1] += character
        else:
            found.append(character)
    return found


def _substring(text: str, offset: int, length: int) -> str:
    characters = _clusters(text)
    start = max(len(characters) + offset, 0) if offset < 0 else offset
    return "".join(characters[start:] if length < 0 else characters[start:start + length])


def _pattern(text: str) -> re.Pattern[str]:
    """A regular expression of Go's: its `$` and `\\z` mean the very end of the text."""
    if "(?m" not in text:
        text = re.sub(r"(\\.)|(\[(?:\\.|[^\]\\])+\])|\$", lambda m: m[1] or m[2] or r"\Z", text)
    try:
        return re.compile(text.replace(r"\z", r"\Z"))
    except re.error as error:
        raise ExpressionError(f"invalid regular expression `{text}`: {error}") from None


def _captured(match: re.Match[str]) -> Value:
    names = match.re.groupindex
    if names:
        return {name: match[name] for name in names}
    return match.groups() if match.re.groups else match[0]


def _search(pattern: str, text: str) -> Value:
    match = _pattern(pattern).search(text)
    if match is None:
        raise ExpressionError("pattern did not match any part of the given string")
    return _captured(match)


def _search_all(pattern: str, text: str) -> Value:
    return tuple(_captured(match) for match in _pattern(pattern).finditer(text))


_REFERENCE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})", re.ASCII)


def _replace_matches(text: str, pattern: str, replacement: str) -> str:
    def expand(match: re.Match[str]) -> str:
        def group(reference: re.Match[str]) -> str:
            name = reference[1] or reference[2]
            if name is None:
                return "$"
            if name.isdigit():
                return (match[int(name)] or "") if int(name) <= match.re.groups else ""
            return (match[name] or "") if name in match.re.groupindex else ""

        return _REFERENCE.sub(group, replacement)

    return _pattern(pattern).sub(expand, text)


def _title(text: str) -> str:
    return re.sub(r"(?<!\w)\w", lambda match: match[0].upper(), text)


def _indent(spaces: int, text: str) -> str:
    if spaces > _MAX_INDENT:
        raise ExpressionError(f"cannot indent by more than {_MAX_INDENT} spaces")
    return text.replace("\n", "\n" + " " * max(spaces, 0))


def _join(separator: str, *lists: tuple[str, ...]) -> str:
    return separator.join(item for each in lists for item in each)


def _split(separator: str, text: str) -> Value:
    return tuple(text.split(separator)) if separator else tuple(text)


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
    "format": Function(format_text, ("string",), "any?"), "formatlist": Function(format_list, ("string",), "any?"),
    "indent": Function(_indent, ("whole", "string")), "join": Function(_join, ("string", "strings"), "strings"),
    "lower": Function(str.lower, ("string",)), "upper": Function(str.upper, ("string",)),
    "title": Function(_title, ("string",)),
    "regex": Function(_search, ("string", "string")), "regexall": Function(_search_all, ("string", "string")),
    "regex_replace": Function(_replace_matches, ("string", "string", "string")),
    "replace": Function(lambda text, old, new: text.replace(old, new), ("string", "string", "string")),
    "reverse": Function(lambda text: "".join(reversed(_clusters(text))), ("string",)),
    "split": Function(_split, ("string", "string")),
    "strlen": Function(lambda text: len(_clusters(text)), ("string",)),
    "substr": Function(_substring, ("string", "whole", "whole")),
    "trim": Function(lambda text, cut: text.strip(cut) if cut else text, ("string", "string")),
    "trimprefix": Function(str.removeprefix, ("string", "string")),
    "trimsuffix": Function(str.removesuffix, ("string", "string")),
    "trimspace": Function(lambda text: text.strip(_SPACE), ("string",)),
}
