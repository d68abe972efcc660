"""Compose files as bake definitions: every service with `build` is a target, all of them are the group `default`.

`build.x-bake` adds what compose has no words for.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from builder.bake.composefile import Data, load_compose, mapping, with_dotenv
from builder.bake.composeshape import InvalidCompose
from builder.bake.definition import Config, check_name
from builder.bake.entries import (
    Entry,
    Secret,
    Ssh,
    last_by,
    parse_attestation,
    parse_caches,
    parse_output,
    parse_secret,
    parse_ssh,
    unique,
)
from builder.bake.errors import BakeError
from builder.bake.interpolation import parse_dotenv
from builder.bake.target import Group, Target
from builder.golang.size import bytes_size, parse_size

if TYPE_CHECKING:
    from builder.source import Source


def is_compose(file: Source, environment: Mapping[str, str]) -> bool:
    """Whether the text can be read as a compose file."""
    try:
        load_compose([(file.name, file.text)], with_dotenv(environment))
    except BakeError:
        return False
    return True


def parse_compose(files: Sequence[Source], environment: Mapping[str, str]) -> Config:
    """Raises InvalidCompose, BakeSyntaxError, InvalidInterpolation."""
    known = with_dotenv(environment)
    data = load_compose([(file.name, file.text) for file in files], known)
    services: Data = data.get("services") or {}
    secrets: Data = data.get("secrets") or {}
    targets = []
    for name, service in services.items():
        if not isinstance(service, dict) or not (service.get("build") or service.get("image")):
            raise InvalidCompose(f'service "{name}" has neither an image nor a build context specified')
        variables = {**known, **service_environment(service, known)}
        if service.get("build") is not None:
            targets.append(_Service(name, service, secrets, variables).target())
    if not services:
        return Config()
    names = tuple(target.name for target in targets)
    return Config((Group(name="default", targets=names, is_given=bool(names)),), tuple(targets))


class _Service:
    def __init__(self, name: str, service: Data, secrets: Data, variables: Mapping[str, str]) -> None:
        self._name = name.replace(".", "_")
        check_name(self._name)
        self._service = service
        build = service["build"]
        self._build: Data = {"context": build} if isinstance(build, str) else build
        self._secrets = secrets
        self._variables = variables

    def target(self) -> Target:
        build = self._build
        target = Target(
            name=self._name, context=self._text("context"), contexts=_contexts(build.get("additional_contexts")),
            dockerfile=self._text("dockerfile"), dockerfile_inline=self._text("dockerfile_inline"), args=self._args(),
            labels={key: _plain(value) for key, value in mapping(build.get("labels")).items()},
            tags=self._words("tags"),
            cache_from=_caches(build.get("cache_from")), cache_to=_caches(build.get("cache_to")),
            target=self._text("target"), secrets=self._build_secrets(), ssh=_ssh(build.get("ssh")),
            platforms=self._words("platforms"), network=self._text("network"), shm_size=_size(build.get("shm_size")),
            ulimits=_ulimits(build.get("ulimits")), extra_hosts=_hosts(build.get("extra_hosts")),
            attest=self._attestations(), no_cache=self._flag("no_cache"), pull=self._flag("pull"))
        extension = build.get("x-bake")
        if isinstance(extension, dict):
            target = _extended(target, extension)
        return target if target.tags else msgspec.structs.replace(target, tags=self._image())

    def _text(self, key: str) -> str | None:
        value = self._build.get(key)
        return _plain(value) if value not in (None, "") else None

    def _flag(self, key: str) -> bool | None:
        return True if _plain(self._build.get(key)).lower() == "true" else None

    def _words(self, key: str) -> tuple[str, ...] | None:
        return tuple(map(_plain, self._build.get(key) or ())) or None

    def _image(self) -> tuple[str, ...] | None:
        image = self._service.get("image")
        return (_plain(image),) if image else None

    def _args(self) -> dict[str, str]:
        """Arguments without a value take the service's, else the caller's variable of that name, or are left out."""
        given = {key: self._variables.get(key) if value is None else _plain(value)
                 for key, value in mapping(self._build.get("args")).items()}
        return {key: value for key, value in given.items() if value is not None}

    def _build_secrets(self) -> tuple[Secret, ...] | None:
        found = []
        for entry in self._build.get("secrets") or ():
            name = entry if isinstance(entry, str) else entry.get("source", "")
            source = self._secrets.get(name) or {}
            if source.get("external"):
                raise InvalidCompose(f"unsupported external secret {name}")
            found.append(Secret(name, _path(source.get("file")), _plain(source.get("environment"))))
        return tuple(found) or None

    def _attestations(self) -> tuple[Entry, ...] | None:
        given = ((kind, _plain(self._build.get(kind))) for kind in ("sbom", "provenance"))
        return tuple(parse_attestation(canonical_attestation(kind, text)) for kind, text in given if text) or None


def service_environment(service: Data, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that a service sets, in `env_file` and `environment`. Raises InvalidCompose."""
    files = service.get("env_file") or ()
    found: dict[str, str] = {}
    for entry in [files] if isinstance(files, str | dict) else files:
        detailed = entry if isinstance(entry, dict) else {"path": entry}
        path, required = _plain(detailed.get("path")), detailed.get("required", True)
        try:
            with open(path, encoding="utf-8") as file:
                found |= parse_dotenv(file.read(), environment)
        except OSError as error:
            if required:
                raise InvalidCompose(f"env file {path} not found", cause=error.strerror) from error
    given = mapping(service.get("environment"))
    return found | {key: _plain(value) for key, value in given.items() if value is not None}


def canonical_attestation(kind: str, text: str) -> str:
    """`--sbom=TEXT` and `--provenance=TEXT` as an attestation: a bool switches it on or off."""
    lower = text.lower()
    if lower in ("1", "t", "true", "0", "f", "false"):
        return f"type={kind},disabled={'false' if lower in ('1', 't', 'true') else 'true'}"
    return f"type={kind},{text}"


def _plain(value: Any) -> str:
    """A scalar as Go prints it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return str(value)


def _path(value: Any) -> str:
    return posixpath.normpath(_plain(value)) if value else ""


def _contexts(value: Any) -> dict[str, str]:
    return {key: _context(_plain(text)) for key, text in mapping(value).items()}


def _context(text: str) -> str:
    scheme, colon, name = text.partition(":")
    if colon and scheme in ("service", "target"):
        return f"target:{name.replace('.', '_')}"
    return text if colon else posixpath.normpath(text)


def _caches(value: Any) -> tuple[Entry, ...] | None:
    return tuple(entry for text in value or () for entry in parse_caches(_plain(text)) if text) or None


def _ssh(value: Any) -> tuple[Ssh, ...] | None:
    pairs = value.items() if isinstance(value, dict) else (_plain(item).partition("=")[::2] for item in value or ())
    found = [Ssh(key, (_plain(path),) if path else ()) for key, path in pairs]
    return tuple(sorted(found, key=lambda ssh: (ssh.id, ssh.paths))) or None


def _ulimits(value: Any) -> tuple[str, ...] | None:
    found = []
    for name, limit in (value or {}).items():
        soft, hard = (limit.get("soft"), limit.get("hard")) if isinstance(limit, dict) else (limit, limit)
        found.append(f"{name}={_plain(soft)}:{_plain(hard)}")
    return tuple(found) or None


def _hosts(value: Any) -> dict[str, str]:
    hosts: dict[str, list[str]] = {}
    if isinstance(value, dict):
        hosts = {key: [_plain(each) for each in (item if isinstance(item, list) else [item])]
                 for key, item in value.items()}
    else:
        for item in map(_plain, value or ()):
            name, _, address = item.partition("=") if "=" in item else item.partition(":")
            hosts.setdefault(name, []).append(address.strip("[]"))
    return {key: ",".join(addresses) for key, addresses in hosts.items()}


def _size(value: Any) -> str | None:
    if value in (None, "", 0):
        return None
    try:
        return bytes_size(parse_size(_plain(value)))
    except ValueError as error:
        raise InvalidCompose(str(error)) from None


def _array(value: Any) -> list[str]:
    """A list, or words in one string."""
    return value.split() if isinstance(value, str) else [_plain(item) for item in value or ()]


def _extended(target: Target, extension: Data) -> Target:
    changes: dict[str, Any] = {}

    def words(key: str, field: str) -> None:
        if found := _array(extension.get(key)):
            changes[field] = tuple(dict.fromkeys((*(getattr(target, field) or ()), *found)))

    def entries(key: str, field: str, parsed: Iterable[Any]) -> None:
        if found := tuple(parsed):
            changes[field] = (*(getattr(target, field) or ()), *found)

    for key, field in (("tags", "tags"), ("platforms", "platforms"), ("no-cache-filter", "no_cache_filter")):
        words(key, field)
    for key, field in (("cache-from", "cache_from"), ("cache-to", "cache_to")):
        entries(key, field, _caches(_array(extension.get(key))) or ())
    entries("secret", "secrets", map(parse_secret, _array(extension.get("secret"))))
    entries("ssh", "ssh", map(parse_ssh, _array(extension.get("ssh"))))
    entries("output", "outputs", map(parse_output, _array(extension.get("output"))))
    if "ssh" in changes:
        merged = last_by(lambda ssh: ssh.id, changes["ssh"])
        changes["ssh"] = tuple(sorted(merged, key=lambda ssh: (ssh.id, ssh.paths)))
    for field in ("cache_from", "cache_to", "outputs"):
        if field in changes:
            changes[field] = unique(changes[field])
    for key, field in (("pull", "pull"), ("no-cache", "no_cache")):
        if extension.get(key) is not None:
            changes[field] = _plain(extension[key]).lower() == "true"
    if contexts := _contexts(extension.get("contexts")):
        changes["contexts"] = {**contexts, **target.contexts}
    return msgspec.structs.replace(target, **changes)
