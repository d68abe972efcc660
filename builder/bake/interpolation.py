"""Variables in compose files and .env files: `$V`, `${V}`, `${V:-default}`, `${V:?complaint}`, `${V:+other}`, `$$`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from builder.bake.errors import BakeError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAX_DEPTH = 50


class InvalidInterpolation(BakeError):
    code = "compose-interpolation"


def interpolate(text: str, variables: Mapping[str, str], depth: int = 0) -> str:
    """Raises InvalidInterpolation for what is no reference, and for a variable that `?` demands."""
    if "$" not in text:
        return text
    if depth > _MAX_DEPTH:
        raise InvalidInterpolation("references to variables are nested too deeply")
    result, position = "", 0
    while (at := text.find("$", position)) >= 0:
        result += text[position:at]
        following = text[at + 1:at + 2]
        if following == "$":
            result, position = result + "$", at + 2
        elif following == "{":
            end = _closing(text, at + 2)
            if end < 0:
                raise InvalidInterpolation(f"invalid interpolation format in `{text}`: a brace is not closed")
            result += _reference(text[at + 2:end], variables, depth)
            position = end + 1
        elif (match := _NAME.match(text, at + 1)) is not None:
            result, position = result + variables.get(match[0], ""), match.end()
        else:
            result, position = result + "$", at + 1
    return result + text[position:]


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
    """The variables of a .env file; later ones may use earlier ones, and those of `environment`, which come first."""
    found: dict[str, str] = {}
    for match in _LINE.finditer(text.replace("\r\n", "\n")):
        if match["single"] is not None:
            value = match["single"]
        else:
            known = {**found, **environment}
            if match["double"] is not None:
                value = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), match["double"])
            else:
                value = re.split(r"\s+#", match["bare"], maxsplit=1)[0].strip()
                value = "" if value.startswith("#") else value
            value = interpolate(value, known)
        found[match[1]] = value
    return found
