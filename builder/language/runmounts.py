"""The values of RUN's --mount, --network, --security and --device.

A mount's options are split while the file is parsed (`parse_mount`), and expanded one by one, so a variable's value can
hold commas. What they mean depends on variables, the type included: `evaluate_mount` is for planning, and so for the
stages that are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import msgspec

from builder.errors import DockerfileError
from builder.golang.bool import parse_bool
from builder.golang.csv import CsvError, csv_fields
from builder.golang.numbers import parse_unsigned
from builder.golang.quote import quote
from builder.golang.size import parse_size
from builder.golang.suggest import did_you_mean

if TYPE_CHECKING:
    from lark import Token, Tree

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


class Option(msgspec.Struct, frozen=True, array_like=True):
    text: str
    """As written."""
    key: str
    """In lower case."""
    value: str | None
    """None without a `=`."""


class RunMount(msgspec.Struct, frozen=True):
    """A --mount whose variables are not known yet, and with them not even its type."""

    text: str
    options: tuple[Option, ...]

    @property
    def from_(self) -> str:
        """The stage, image or context that it takes its files from, "" if it names none; it can hold no variables."""
        return self.value("from")

    def value(self, name: str) -> str:
        """What was given last for an option or its aliases, as written; "" if nothing was."""
        return next((option.value for option in reversed(self.options)
                     if option.value is not None and _ALIASES.get(option.key, option.key) == name), "")


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """A --mount as BuildKit understands it, before paths, stages and defaults are resolved.

    None is "not given" where that differs from every value.
    """

    from_: str = ""
    source: str = ""
    target: str = ""


class Bind(Mount, frozen=True, kw_only=True):
    readonly: bool = True


class Cache(Mount, frozen=True, kw_only=True):
    id: str = ""
    sharing: str = ""
    readonly: bool = False
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


class Tmpfs(Mount, frozen=True, kw_only=True):
    size: int = 0
    """Bytes; 0 for no limit."""


class Secret(Mount, frozen=True, kw_only=True):
    id: str = ""
    env: str | None = None
    """Name of a variable."""
    required: bool = False
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


class Ssh(Mount, frozen=True, kw_only=True):
    id: str = ""
    required: bool = False
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


AnyMount: TypeAlias = Bind | Cache | Tmpfs | Secret | Ssh
_TYPES: dict[str, type[AnyMount]] = {"bind": Bind, "cache": Cache, "tmpfs": Tmpfs, "secret": Secret, "ssh": Ssh}


class DeviceSpec(msgspec.Struct, frozen=True):
    """A --device: a CDI device's name; a missing one is an error only if `required`."""

    name: str
    required: bool = False


def parse_mount(text: str) -> RunMount:
    """The options of a --mount. Raises InvalidMount for what is wrong whatever the variables are: quotes, and a
    variable in `from`.
    """
    from builder.language.grammar import reader_of

    if not text:
        raise InvalidMount("failed to parse csv mounts: EOF")
    trees = [tree for tree in reader_of("mount").read(text.removesuffix("\n"), "mount").children
             if not isinstance(tree, str)]
    if trees[-1].data == "broken":
        _fields(text)  # raises, and knows the column
    options = []
    for tree in trees:
        option = _option(tree)
        if option.key == "from" and "$" in (option.value or "")[:-1]:
            raise InvalidMount("'from' doesn't support variable expansion, define alias stage instead")
        options.append(option)
    return RunMount(text, tuple(options))


def _option(tree: Tree[Token]) -> Option:
    found = {token.type.removeprefix("QUOTED_"): str(token) for token in tree.children if isinstance(token, str)}
    if tree.data == "quoted":
        found = {kind: text.replace('""', '"') for kind, text in found.items()}
    key, value = found.get("KEY", ""), found.get("VALUE", "")
    has_value = "EQUALS" in found
    return Option(f"{key}={value}" if has_value else key, key.lower(), value if has_value else None)


def evaluate_mount(mount: RunMount, expand: Callable[[str], str] = lambda value: value) -> AnyMount:
    """What a mount asks for; `expand` replaces a value's variables. Raises InvalidMount, and what `expand` raises."""
    return _MountReader(expand).read(mount.options)


class _MountReader:
    _FLAGS: ClassVar[frozenset[str]] = frozenset({"readonly", "readwrite", "required"})

    def __init__(self, expand: Callable[[str], str]) -> None:
        self._expand = expand
        self._type = "bind"
        self._values: dict[str, str | int | bool] = {}

    def read(self, options: Iterable[Option]) -> AnyMount:
        for option in options:
            if option.value is not None:
                self._option(option.key, self._expand(option.value), option.text)
            elif _ALIASES.get(option.key, option.key) in self._FLAGS:
                self._option(option.key, "true", option.text)
            else:
                raise InvalidMount(f"invalid field '{option.text}' must be a key=value pair")
        self._check()
        kind = _TYPES[self._type]
        values = {name: value for name, value in self._values.items() if name in kind.__struct_fields__}
        return msgspec.convert(values, kind)

    def _option(self, key: str, value: str, option: str) -> None:
        match _ALIASES.get(key, key):
            case "type":
                self._type = _choice(value, tuple(_TYPES), f"unsupported mount type {quote(value)}")
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
