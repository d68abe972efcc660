"""Bake files: where they are looked for, what they are written in, and the one Config that they come to together."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping, Sequence
from typing import BinaryIO

from builder.bake.definition import Config, resolve
from builder.bake.errors import BakeError, BakeSyntaxError
from builder.bake.hcl import parse_hcl
from builder.bake.jsonfile import parse_json_file
from builder.bake.remotefiles import LOCAL
from builder.bake.syntax import Body
from builder.bake.variables import Lookup
from builder.platforms import host_platform
from builder.source import Source

COMPOSE_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
DEFAULT_NAMES = (*COMPOSE_NAMES, "docker-bake.json", "docker-bake.hcl", "docker-bake.override.json",
                 "docker-bake.override.hcl")
MAX_FILE = 16 << 20


class NoBakeFile(BakeError):
    code = "no-bake-file"

    def __init__(self, path: str = "", cause: str | None = None) -> None:
        found = f"open {path}: {cause}" if path else "couldn't find a bake definition"
        super().__init__(found, hint=f"name one with -f, or write one of: {', '.join(DEFAULT_NAMES)}")


def read_files(names: Sequence[str], stdin: BinaryIO | None = None, folder: str = "") -> tuple[Source, ...]:
    """The named files (`-` is standard input), or those of DEFAULT_NAMES that exist. Raises NoBakeFile, BakeError.

    They are in `folder`, but for those whose name begins with `cwd://`.
    """
    if names:
        return tuple(_read(name, stdin, folder) for name in names)
    found = tuple(_read(name, stdin, folder) for name in DEFAULT_NAMES if os.path.exists(os.path.join(folder, name)))
    if not found:
        raise NoBakeFile()
    return found


def _read(name: str, stdin: BinaryIO | None, folder: str) -> Source:
    path = name.removeprefix(LOCAL) if name.startswith(LOCAL) else os.path.join(folder, name)
    try:
        if name == "-":
            data = (stdin or sys.stdin.buffer).read(MAX_FILE + 1)
        else:
            with _open(path, within=folder if not name.startswith(LOCAL) else "") as file:
                data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise NoBakeFile(name, (error.strerror or str(error)).lower()) from error
    if len(data) > MAX_FILE:
        raise BakeError(f"`{name}` is larger than {MAX_FILE >> 20} MiB")
    try:
        return Source(name.removeprefix(LOCAL), data.decode())
    except UnicodeDecodeError as error:
        raise BakeError(f"`{name}` is not UTF-8 text") from error


def _open(path: str, *, within: str) -> BinaryIO:
    """A file that was fetched must not lead out of what was fetched. Raises OSError."""
    if within and not os.path.realpath(path).startswith(os.path.realpath(within) + "/"):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    return open(path, "rb")


def parse_files(files: Sequence[Source], given: Mapping[str, str], environment: Mapping[str, str], *,
                command_context: str = LOCAL) -> Config:
    """All files together. `given` variables come before those of the environment. Raises BakeError."""
    compose: list[Source] = []
    bodies: list[Body] = []
    for file in files:
        body = _body(file, {**environment, **given})
        if body is None:
            compose.append(file)
        else:
            bodies.append(body)
    config = Config()
    if compose:
        from builder.bake.compose import parse_compose

        config = parse_compose(compose, {**environment, **given})
    if not bodies:
        return config
    builtins = {"BAKE_CMD_CONTEXT": command_context, "BAKE_LOCAL_PLATFORM": str(host_platform())}
    return resolve(bodies, _lookup(given, environment), builtins, config)


def _lookup(given: Mapping[str, str], environment: Mapping[str, str]) -> Lookup:
    disabled = environment.get("BUILDX_BAKE_DISABLE_VARS_ENV_LOOKUP", "").lower() in ("1", "t", "true")
    if disabled:
        return given.get
    return lambda name: given[name] if name in given else environment.get(name)


def _body(file: Source, environment: Mapping[str, str]) -> Body | None:
    """The file's body; None for a compose file. What has another name's ending is tried as each in turn."""
    lower = file.name.lower()
    if lower.endswith((".yml", ".yaml")):
        return None
    if lower.endswith(".json"):
        return parse_json_file(file)
    if lower.endswith(".hcl"):
        return parse_hcl(file)
    from builder.bake.compose import is_compose

    if is_compose(file, environment):
        return None
    if file.text.lstrip().startswith("{"):
        return parse_json_file(file)
    try:
        return parse_hcl(file)
    except BakeSyntaxError as error:
        error.notes = (*error.notes, f"`{file.name}` is no compose file either")
        raise
