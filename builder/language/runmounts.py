"""The values of RUN's --mount, --network, --security and --device.

A mount's options are split first and expanded one by one, so a variable's value can hold commas. While parsing, only
what no variable can change is checked (`check_mount`); planning reads the rest (`parse_mount`), for the stages that it
needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

import msgspec

from builder.errors import DockerfileError
from builder.golang.bool import parse_bool
from builder.golang.csv import CsvError, csv_fields
from builder.golang.numbers import parse_unsigned
from builder.golang.quote import quote
from builder.golang.size import parse_size
from builder.golang.suggest import did_you_mean

MOUNT_TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")
SHARING_MODES = ("shared", "private", "locked")
NETWORK_MODES = ("default", "none", "host")
SECURITY_MODES = ("sandbox", "insecure")
_OPTIONS = ("type", "from", "source", "target", "readonly", "id", "sharing", "required", "size", "mode", "uid", "gid",
            "src", "dst", "destination", "ro", "rw", "readwrite", "env")
_ALIASES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly", "rw": "readwrite"}


class InvalidMount(DockerfileError):
    """A --mount that means nothing; without a place, which the caller adds with `at`."""

    code = "invalid-mount"


class InvalidRunFlag(DockerfileError):
    code = "invalid-run-flag"


class MountSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A --mount as BuildKit understands it, before paths, stages and defaults are resolved.

    None is "not given" where that differs from every value.
    """

    type: str = "bind"
    from_: str = ""
    source: str = ""
    target: str = ""
    readonly: bool = True
    """With the type's default: True but for cache and tmpfs."""
    id: str = ""
    sharing: str = ""
    required: bool = False
    size: int = 0
    """Bytes; 0 for no limit."""
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    env: str | None = None
    """Name of a secret's variable."""


class DeviceSpec(msgspec.Struct, frozen=True):
    """A --device: a CDI device's name; a missing one is an error only if `required`."""

    name: str
    required: bool = False


def check_mount(text: str) -> None:
    """Raises InvalidMount for what is wrong whatever the variables are: quotes, and a variable in `from`."""
    for option in _fields(text):
        key, equals, value = option.partition("=")
        if equals and key.lower() == "from" and "$" in value[:-1]:
            raise InvalidMount(f"'{key.lower()}' doesn't support variable expansion, define alias stage instead")


def mount_values(text: str) -> list[str]:
    """The words in a mount that `check_mount` accepts."""
    return [value for option in _fields(text) for _, equals, value in [option.partition("=")] if equals]


def mount_from(text: str) -> str:
    """The stage, image or context that a mount takes its files from; "" if it names none. Raises InvalidMount."""
    check_mount(text)
    pairs = [option.partition("=") for option in _fields(text)]
    return next((value for key, equals, value in reversed(pairs) if equals and key.lower() == "from"), "")


def parse_mount(text: str, expand: Callable[[str], str] = lambda value: value) -> MountSpec:
    """The mount that `text`, a value of --mount as written, asks for; `expand` replaces a value's variables.

    Raises InvalidMount, and what `expand` raises.
    """
    check_mount(text)
    return _MountReader(expand).read(_fields(text))


class _MountReader:
    _FLAGS: ClassVar[frozenset[str]] = frozenset({"readonly", "readwrite", "required"})

    def __init__(self, expand: Callable[[str], str]) -> None:
        self._expand = expand
        self._type = "bind"
        self._values: dict[str, str | int | bool] = {}

    def read(self, options: Iterable[str]) -> MountSpec:
        for option in options:
            key, equals, value = option.partition("=")
            key = key.lower()
            if equals:
                self._option(key, self._expand(value), option)
            elif _ALIASES.get(key, key) in self._FLAGS:
                self._option(key, "true", option)
            else:
                raise InvalidMount(f"invalid field '{option}' must be a key=value pair")
        self._check()
        default = self._type not in ("cache", "tmpfs")
        return msgspec.convert({"readonly": default, **self._values, "type": self._type}, MountSpec)

    def _option(self, key: str, value: str, option: str) -> None:
        match _ALIASES.get(key, key):
            case "type":
                self._type = _choice(value, MOUNT_TYPES, f"unsupported mount type {quote(value)}")
            case "from":
                self._values["from_"] = value
            case "source" | "target" | "id" | "env" as name:
                self._values[name] = value
            case "readonly":
                self._values["readonly"] = _boolean(key, value)
            case "readwrite":
                self._values["readonly"] = not _boolean(key, value)
            case "required":
                self._only_for(key, "secret", "ssh")
                self._values["required"] = _boolean(key, value)
            case "size":
                self._only_for(key, "tmpfs")
                self._values["size"] = _size(key, value)
            case "sharing":
                self._values["sharing"] = _choice(value, SHARING_MODES, f"unsupported sharing value {quote(value)}")
            case "mode":
                self._values["mode"] = _number(key, value, 8)
            case "uid" | "gid":
                self._values[key] = _number(key, value, 10)
            case _:
                raise InvalidMount(f"unexpected key '{key}' in '{option}'", hint=did_you_mean(key, _OPTIONS))

    def _only_for(self, key: str, *types: str) -> None:
        """The type counts as far as it is known: `type` has to come first."""
        if self._type not in types:
            raise InvalidMount(f"unexpected key '{key}' for mount type '{self._type}'")

    def _check(self) -> None:
        given = {key for key, value in self._values.items() if value != "" or key == "env"}
        if self._type not in ("secret", "ssh", "cache"):
            for key in ("mode", "uid", "gid"):
                if key in given:
                    raise InvalidMount(f"{key} not allowed for {quote(self._type)} type mounts")
        if self._type == "secret":
            if "from_" in given:
                raise InvalidMount("secret mount should not have a from")
            if "sharing" in given:
                raise InvalidMount("secret mount should not define sharing")
            if not given & {"source", "target", "id"}:
                raise InvalidMount("invalid secret mount. one of source, target required")
            if {"source", "id"} <= given:
                raise InvalidMount("both source and id can't be set")
        if "sharing" in given and self._type != "cache":
            raise InvalidMount(f"invalid cache sharing set for {self._type} mount")


def check_network(value: str) -> None:
    if value not in NETWORK_MODES:
        raise InvalidRunFlag(f"invalid network mode {quote(value)}", hint=did_you_mean(value, NETWORK_MODES))


def check_security(value: str) -> None:
    if value not in SECURITY_MODES:
        raise InvalidRunFlag(f"security {quote(value)} is not valid", hint=did_you_mean(value, SECURITY_MODES))


def parse_device(text: str) -> DeviceSpec:
    """The device that a value of --device asks for. Raises InvalidRunFlag."""
    name = ""
    required = False
    for field in _fields(text):
        key, equals, value = field.partition("=")
        match key.lower():
            case "required":
                required = _boolean("required", value) if equals else True
            case "name" if equals:
                if name:
                    raise InvalidRunFlag(f"device name already set to {name}")
                name = value
            case _ if not name:
                name = field
            case key if equals:
                raise InvalidRunFlag(f"unexpected key '{key}' in '{field}'",
                                     hint=did_you_mean(key, ("name", "required")))
            case _:
                raise InvalidRunFlag(f"invalid field '{field}' must be a key=value pair")
    return DeviceSpec(name, required)


def _choice(value: str, known: tuple[str, ...], message: str) -> str:
    if value.lower() not in known:
        raise InvalidMount(message, hint=did_you_mean(value, known))
    return value.lower()


def _boolean(key: str, value: str) -> bool:
    try:
        return parse_bool(value)
    except ValueError:
        raise InvalidMount(f"invalid value for {key}: {value}") from None


def _size(key: str, value: str) -> int:
    try:
        return parse_size(value)
    except ValueError:
        raise InvalidMount(f"invalid value for {key}: {value}") from None


def _number(key: str, value: str, base: int) -> int:
    try:
        return parse_unsigned(value, base, 32)
    except ValueError:
        raise InvalidMount(f"invalid value {value} for {key}") from None


def _fields(text: str) -> list[str]:
    if not text:
        raise InvalidMount("failed to parse csv mounts: EOF")
    try:
        return csv_fields(text)
    except CsvError as error:
        raise InvalidMount(f"failed to parse csv mounts: {error}") from None
