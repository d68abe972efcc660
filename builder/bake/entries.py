"""The entries of a target's lists that are more than a word: outputs, caches, attestations, secrets, SSH agents.

Each can be written as the text of the flag of `builder build`, or as an object. They are printed as objects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from builder.bake.errors import BakeError
from builder.bake.types import STRING, Type, convert
from builder.bake.values import Value, bool_of, text_of
from builder.golang.csv import CsvError, csv_fields, csv_text


class BadEntry(BakeError):
    code = "bake-entry"


class Entry(msgspec.Struct, frozen=True):
    """An output, a cache or an attestation."""

    type: str
    attributes: dict[str, str] = {}
    destination: str = ""
    """Of an output."""
    disabled: bool = False
    """Of an attestation."""

    def printed(self) -> dict[str, Any]:
        own: dict[str, Any] = {**self.attributes, "type": self.type}
        if self.destination:
            own["dest"] = self.destination
        if self.disabled:
            own["disabled"] = True
        return dict(sorted(own.items()))

    @property
    def text(self) -> str:
        """As the flag has it."""
        fields = [f"type={self.type}"]
        if self.destination:
            fields.append(f"dest={self.destination}")
        if self.disabled:
            fields.append("disabled=true")
        return csv_text([*fields, *(f"{key}={self.attributes[key]}" for key in sorted(self.attributes))])


class Secret(msgspec.Struct, frozen=True):
    id: str = ""
    file: str = ""
    variable: str = ""

    def printed(self) -> dict[str, Any]:
        return {key: value for key, value in (("id", self.id), ("src", self.file), ("env", self.variable)) if value}

    @property
    def text(self) -> str:
        return csv_text([f"{key}={value}" for key, value in self.printed().items()])


class Ssh(msgspec.Struct, frozen=True):
    id: str = ""
    paths: tuple[str, ...] = ()

    def printed(self) -> dict[str, Any]:
        return {key: value for key, value in (("id", self.id), ("paths", list(self.paths))) if value}

    @property
    def text(self) -> str:
        return f"{self.id}={','.join(self.paths)}" if self.paths else self.id


def fields_of(text: str) -> list[str]:
    """The fields of one CSV record, none for empty text. Raises BadEntry."""
    try:
        return csv_fields(text) if text else []
    except CsvError as error:
        raise BadEntry(f"`{text}`: {error}", hint="quotes go round a whole field: \"key=a,b\"") from None


def _pairs(text: str, fields: Sequence[str]) -> list[tuple[str, str]]:
    pairs = []
    for field in fields:
        key, equals, value = field.partition("=")
        if not equals:
            raise BadEntry(f"invalid value `{field}` in `{text}`", hint="fields are written key=value")
        pairs.append((key, value))
    return pairs


# -- from text ---------------------------------------------------------------------------------------------------------


def parse_output(text: str) -> Entry:
    fields = fields_of(text)
    if fields == [text] and not text.startswith("type="):
        return Entry("tar" if text == "-" else "local", destination=text)
    return _output({_key(key): value for key, value in _pairs(text, fields)})


def _key(key: str) -> str:
    """As the flags read it, of outputs and of caches."""
    return key.strip().lower()


def parse_caches(text: str) -> list[Entry]:
    """One entry, or, of a list of bare references, one for each."""
    if "=" not in text:
        return [Entry("registry", {"ref": field}) for field in fields_of(text)]
    return [_cache({_key(key): value for key, value in _pairs(text, fields_of(text))}, text)]


def parse_attestation(text: str) -> Entry:
    values: dict[str, Value] = {}
    for key, value in _pairs(text, fields_of(text)):
        name = key.strip().lower()
        values[name if name in ("type", "disabled") else key] = value
    return _attestation(values)


def parse_secret(text: str) -> Secret:
    values: dict[str, str] = {}
    for key, value in _pairs(text, fields_of(text)):
        name = {"source": "src"}.get(key.lower(), key.lower())
        if name not in ("type", "id", "src", "env"):
            raise BadEntry(f"unexpected key `{name}` in secret `{text}`", hint="choose one of type, id, src, env")
        values[name] = value
    if values.get("type", "file") not in ("file", "env"):
        raise BadEntry(f"unsupported secret type `{values['type']}`", hint="choose one of file, env")
    file, variable = values.get("src", ""), values.get("env", "")
    if values.get("type") == "env" and not variable:
        file, variable = "", file
    return Secret(values.get("id", ""), file, variable)


def parse_ssh(text: str) -> Ssh:
    name, equals, paths = text.partition("=")
    return Ssh(name, tuple(paths.split(",")) if equals else ())


# -- from values -------------------------------------------------------------------------------------------------------

T = TypeVar("T")


def entries(value: Value, parse: Callable[[str], T], make: Callable[[dict[str, Value]], T]) -> tuple[T, ...]:
    """The entries of a list of texts and objects. Raises BadEntry, ExpressionError."""
    if not isinstance(value, tuple):
        raise BadEntry("a list is required")
    found = []
    for item in value:
        if item is None or item == "":
            continue
        if isinstance(item, str):
            found.append(parse(item))
        elif isinstance(item, dict):
            found.append(make({key: each for key, each in item.items() if each is not None}))
        else:
            raise BadEntry("an entry must be a string or an object")
    return tuple(found)


def outputs_of(value: Value) -> tuple[Entry, ...]:
    return entries(value, parse_output, _output)


def caches_of(value: Value) -> tuple[Entry, ...]:
    groups = entries(value, parse_caches, lambda item: [_cache(item, str(item))])
    return tuple(entry for group in groups for entry in group)


def attestations_of(value: Value) -> tuple[Entry, ...]:
    return entries(value, parse_attestation, _attestation)


def secrets_of(value: Value) -> tuple[Secret, ...]:
    return entries(value, parse_secret, lambda item: Secret(
        text_of(item.get("id", "")), text_of(item.get("src", "")), text_of(item.get("env", ""))))


def ssh_of(value: Value) -> tuple[Ssh, ...]:
    return entries(value, parse_ssh, lambda item: Ssh(
        text_of(item.get("id", "")), convert(item.get("paths", ()), Type("list", element=STRING))))


def _output(values: dict[str, Value]) -> Entry:
    own = {_key(key): text_of(value) for key, value in values.items()}
    kind, destination = own.pop("type", ""), own.pop("dest", "")
    if not kind:
        raise BadEntry("type is required for output")
    return Entry(kind, own, destination)


def _cache(values: dict[str, Value], text: str) -> Entry:
    own = {_key(key): text_of(value) for key, value in values.items()}
    kind = own.pop("type", "")
    if not kind:
        raise BadEntry(f"type required for `{text}`")
    return Entry(kind, own)


def _attestation(values: dict[str, Value]) -> Entry:
    own = dict(values)
    kind, disabled = own.pop("type", ""), own.pop("disabled", False)
    if not kind:
        raise BadEntry("attestation type not specified")
    is_disabled = disabled.lower() in ("1", "t", "true") if isinstance(disabled, str) else bool_of(disabled)
    return Entry(text_of(kind), {key: text_of(value) for key, value in own.items()}, disabled=is_disabled)


# -- lists -------------------------------------------------------------------------------------------------------------


def unique(items: tuple[T, ...]) -> tuple[T, ...]:
    """Without repetition, in the order that buildx comes to: of equal entries the last of the list fills the gap."""
    left = list(items)
    for first in range(len(left) - 2, -1, -1):
        for second in range(first + 1, len(left)):
            if left[first] == left[second]:
                left[second] = left[-1]
                left.pop()
                break
    return tuple(left)


def last_by(key: Callable[[T], str], items: tuple[T, ...]) -> tuple[T, ...]:
    """One item for each key: the last one, in the place of the first."""
    found: dict[str, T] = {}
    for item in items:
        found[key(item)] = item
    return tuple(found.values())
