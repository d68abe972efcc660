"""Variables in compose files and .env files: `$V`, `${V}`, `${V:-default}`, `${V:?complaint}`, `${V:+other}`, `$$`."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Mapping

from builder.bake.errors import BakeError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAX_DEPTH = 50
MAX_TEXT = 1 << 20
"""Characters of one value: more than a process can have in its environment."""
MAX_TOTAL = 16 << 20
"""Characters of all values of a file."""


class InvalidInterpolation(BakeError):
    code = "compose-interpolation"


def interpolate(text: str, variables: Mapping[str, str], depth: int = 0) -> str:
    """Raises InvalidInterpolation for what is no reference, for a variable that `?` demands, and for a text that grows
    beyond MAX_TEXT, as it does where variables hold each other twice.
    """
    if "$" not in text:
        return text
    if depth > _MAX_DEPTH:
        raise InvalidInterpolation("references to variables are nested too deeply")
    parts: list[str] = []
    position, size = 0, len(text)
    while (at := text.find("$", position)) >= 0:
        parts.append(text[position:at])
        following = text[at + 1:at + 2]
        if following == "$":
            parts.append("$")
            position = at + 2
        elif following == "{":
            end = _closing(text, at + 2)
            if end < 0:
                raise InvalidInterpolation(f"invalid interpolation format in `{text}`: a brace is not closed")
            parts.append(_reference(text[at + 2:end], variables, depth))
            position = end + 1
        elif (match := _NAME.match(text, at + 1)) is not None:
            parts.append(variables.get(match[0], ""))
            position = match.end()
        else:
            parts.append("$")
            position = at + 1
        size += len(parts[-1])
        if size > MAX_TEXT:
            raise InvalidInterpolation(f"`{text[:60]}` comes to more than {MAX_TEXT >> 20} Mi characters")
    return "".join((*parts, text[position:]))


def _reference(text: str, variables: Mapping[str, str], depth: int) -> str:
    match = _NAME.match(text)
    if match is None:
        raise InvalidInterpolation(f"invalid interpolation format `${{{text}}}`")
    name, rest = match[0], text[match.end():]
    if not rest:
        return variables.get(name, "")
    counts_empty = rest.startswith(":")
    operator, word = rest[counts_empty:counts_empty + 1], rest[counts_empty + 1:]
    value = variables.get(name)
    is_set = bool(value) if counts_empty else value is not None
    if operator == "-":
        return value if is_set and value is not None else interpolate(word, variables, depth + 1)
    if operator == "+":
        return interpolate(word, variables, depth + 1) if is_set else ""
    if operator == "?":
        if not is_set or value is None:
            raise InvalidInterpolation(f"required variable {name} is missing a value: {word}")
        return value
    raise InvalidInterpolation(f"invalid interpolation format `${{{text}}}`")


def _closing(text: str, start: int) -> int:
    depth = 1
    for position in range(start, len(text)):
        if text.startswith("${", position):
            depth += 1
        elif text[position] == "}":
            depth -= 1
            if depth == 0:
                return position
    return -1


_LINE = re.compile(r"""^[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.-]*)[ \t]*[=:][ \t]*(?:
    '(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)"|(?P<bare>[^\r\n]*))""", re.MULTILINE | re.VERBOSE | re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def parse_dotenv(text: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of a .env file; later ones may use earlier ones, and those of `environment`, which come first.

    Raises InvalidInterpolation.
    """
    found: dict[str, str] = {}
    known = ChainMap(dict(environment), found)
    size = 0
    for match in _LINE.finditer(text.replace("\r\n", "\n")):
        if match["single"] is not None:
            value = match["single"]
        else:
            if match["double"] is not None:
                value = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), match["double"])
            else:
                value = re.split(r"\s+#", match["bare"], maxsplit=1)[0].strip()
                value = "" if value.startswith("#") else value
            value = interpolate(value, known)
        found[match[1]] = value
        size += len(value)
        if size > MAX_TOTAL:
            raise InvalidInterpolation(f"the variables come to more than {MAX_TOTAL >> 20} Mi characters")
    return found
