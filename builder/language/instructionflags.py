"""Flags of an instruction: `--name=value`, `--name`."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence

import msgspec

from builder.errors import DockerfileError
from builder.golang.suggest import did_you_mean
from builder.language.forms import Form, Word
from builder.source import Location


class UnknownFlag(DockerfileError):
    code = "unknown-flag"

    def __init__(self, name: str, known: Mapping[str, object], location: Location) -> None:
        hint = did_you_mean(name, known, prefix="--")
        super().__init__(f"unknown flag: `--{name}`", location=location, hint=hint)


class FlagError(DockerfileError):
    code = "flag"


class Kind(enum.Enum):
    BOOLEAN = enum.auto()
    TEXT = enum.auto()
    TEXTS = enum.auto()
    """May be given several times."""


class Flags(msgspec.Struct, frozen=True):
    """The flags that were given, by name."""

    values: Mapping[str, Sequence[tuple[str, Word]]]

    def text(self, name: str, default: str = "") -> str:
        given = self.values.get(name)
        return given[0][0] if given else default

    def texts(self, name: str) -> tuple[str, ...]:
        return tuple(value for value, _ in self.values.get(name, ()))

    def words(self, name: str) -> Sequence[tuple[str, Word]]:
        """The values, each with its place."""
        return self.values.get(name, ())

    def boolean(self, name: str) -> bool | None:
        """None if it was not given."""
        given = self.values.get(name)
        return given[0][0] == "true" if given else None


def read_flags(form: Form, known: Mapping[str, Kind]) -> Flags:
    """The instruction's flags, checked against those it has. Raises UnknownFlag, FlagError."""
    found: dict[str, list[tuple[str, Word]]] = {}
    for word in form.flags:
        name, equals, value = _unquoted(word.text, form.escape).removeprefix("--").partition("=")
        kind = known.get(name)
        location = form.location(word)
        if kind is None:
            raise UnknownFlag(name, known, location)
        if name in found and kind is not Kind.TEXTS:
            raise FlagError(f"duplicate flag specified: `--{name}`", location=location)
        if (kind is not Kind.BOOLEAN and not equals) or (kind is Kind.BOOLEAN and equals and not value):
            raise FlagError(f"missing a value on flag: `--{name}`", location=location)
        if kind is Kind.BOOLEAN:
            value = value.lower() or "true"
            if value not in ("true", "false"):
                raise FlagError(f"expecting boolean value for flag --{name}, not: `{value}`", location=location)
        found.setdefault(name, []).append((value, word))
    return Flags(found)


def _unquoted(text: str, escape: str) -> str:
    """Without quotes, and without the escape characters; both kinds of quotes know escapes here."""
    if escape not in text and '"' not in text and "'" not in text:
        return text
    out: list[str] = []
    quote = ""
    characters = iter(text)
    for char in characters:
        if char == escape:
            out.append(next(characters, ""))
        elif quote:
            if char == quote:
                quote = ""
            else:
                out.append(char)
        elif char in "\"'":
            quote = char
        else:
            out.append(char)
    return "".join(out)
