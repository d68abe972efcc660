"""What a definition may touch: `--allow`, and what targets ask for beyond the working directory.

A definition may come from somebody else. So files outside the working directory, the SSH agent, the host's network and
unconfined steps have to be granted by the user who runs it; what the command line itself sets is granted.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import msgspec

from builder.bake.buildflags import check_values, dockerfile_path, flags_of
from builder.bake.errors import BakeError
from builder.bake.overrides import Override
from builder.bake.remotefiles import LOCAL, is_remote
from builder.bake.target import Target
from builder.builds.resolver import LAYOUT, LINK, layout_folder
from builder.builds.secrets import SshSource
from builder.errors import UsageError

_SPECIAL = (LINK, "docker-image://", "container-image://")


class UnknownEntitlement(UsageError):
    def __init__(self, key: str) -> None:
        super().__init__(f"unknown entitlement key `{key}`",
                         hint="choose one of network.host, security.insecure, ssh, device, fs, fs.read, fs.write")


class PrivilegesRequested(BakeError):
    code = "bake-privileges"

    def __init__(self, requests: Sequence[Request]) -> None:
        super().__init__("additional privileges requested", notes=tuple(request.what for request in requests),
                         hint=f"pass {' '.join(request.flag for request in requests)} to grant them")


class Request(msgspec.Struct, frozen=True):
    """Something that was not granted."""

    what: str
    flag: str
    is_file: bool = False
    """`BUILDX_BAKE_ENTITLEMENTS_FS=0` grants it."""


class Grants(msgspec.Struct, frozen=True):
    words: frozenset[str] = frozenset()
    """network.host, security.insecure, ssh, device."""
    read: tuple[str, ...] = ()
    """Paths; `*` is all of them."""
    write: tuple[str, ...] = ()


def parse_allow(texts: Sequence[str]) -> Grants:
    """`--allow` values. Raises UnknownEntitlement."""
    words, read, write = set(), [os.getcwd()], [os.getcwd()]
    for text in texts:
        key, _, value = text.partition("=")
        if key in ("network.host", "security.insecure", "ssh", "device"):
            words.add(key)
        elif key in ("fs", "fs.read", "fs.write"):
            read += [value] if key != "fs.write" else []
            write += [value] if key != "fs.read" else []
        elif key not in ("image", "image.push", "image.load"):
            raise UnknownEntitlement(key)
    return Grants(frozenset(words), tuple(read), tuple(write))


def with_overrides(grants: Grants, overrides: Iterable[Override], targets: Iterable[Target]) -> Grants:
    """What `--set` names is granted too."""
    keys = {override.key for override in overrides}
    words = {value for override in overrides if override.key == "entitlements" for value in override.values}
    read, write = list(grants.read), list(grants.write)
    for target in targets:
        read += _read_by_flags(target, keys)
        write += _written(target) if keys & {"output", "cache-to"} else []
    return Grants(grants.words | words, tuple(read), tuple(write))


def _read_by_flags(target: Target, keys: set[str]) -> list[str]:
    found: list[str] = []
    if "cache-from" in keys:
        found += _local_caches(target)
    if "secrets" in keys:
        found += _secret_files(target)
    if "ssh" in keys:
        found += [path for ssh in _ssh(target) for path in ssh.paths]
    return found


def missing(targets: Iterable[Target], grants: Grants) -> list[Request]:
    """What the targets need and the grants do not cover. Raises StdinNotAllowed, NulByte."""
    every = list(targets)
    for target in every:
        check_values(target)
    wanted = {word.partition("=")[0] for target in every for word in target.entitlements or ()}
    if any((target.network or "").startswith("ns:") for target in every):
        wanted.add("network.host")  # a namespace by its path is one of the host's
    wanted -= grants.words
    requests = [Request(what, f"--allow={word}") for word, what in _WORDS.items() if word in wanted]
    if "ssh" not in grants.words and any(not ssh.paths for target in every for ssh in _ssh(target)):
        requests.append(Request("forwarding default SSH agent socket", "--allow=ssh", is_file=True))
    read = _uncovered(grants.read, [path for target in every for path in _read(target)])
    write = _uncovered(grants.write, [path for target in every for path in _written(target)])
    both = [path for path in read if path in write]
    requests += [_file_request("read and write", "fs", path) for path in both]
    requests += [_file_request("read", "fs.read", path) for path in read if path not in both]
    return requests + [_file_request("write", "fs.write", path) for path in write if path not in both]


_WORDS = {"network.host": "running build containers that can access host network",
          "security.insecure": "running privileged containers that can make system changes",
          "device": "access to CDI devices"}


def _file_request(how: str, key: str, path: str) -> Request:
    relative = os.path.relpath(path, os.path.realpath("."))
    shown = path if relative.startswith("../..") else relative
    return Request(f"{how} access to path {shown}", f"--allow={key}={shown}", is_file=True)


def _read(target: Target) -> list[str]:
    """Every path of this machine that building the target reads. Whether a text is a URL counts only where there is no
    folder of that name, for so a build looks at it as well.
    """
    context = target.context or "."
    is_local = _is_path(context)
    found = [context] if is_local else []
    if target.dockerfile_inline is None and (is_local or (target.dockerfile and (
            target.dockerfile.startswith(LOCAL) or os.path.isabs(target.dockerfile)))):
        found.append(dockerfile_path(target))
    for value in (text.partition("=")[2] for text in _texts(target, "build-context")):
        if value.startswith(LAYOUT):
            found.append(layout_folder(value))
        elif not value.startswith(_SPECIAL) and _is_path(value):
            found.append(value)
    found += _secret_files(target)
    found += [path for ssh in _ssh(target) for path in ssh.paths]
    return found + _local_caches(target)


def _ssh(target: Target) -> list[SshSource]:
    return [SshSource.parse(text) for text in _texts(target, "ssh")]


def _texts(target: Target, flag: str) -> list[str]:
    """The values of a flag as the build will read them: names and paths of a target may hold what separates fields."""
    return [text for name, text in flags_of(target) if name == flag]


def _local_caches(target: Target) -> list[str]:
    return [entry.attributes["src"] for entry in target.cache_from or ()
            if entry.type.lower() != "registry" and "src" in entry.attributes]


def _secret_files(target: Target) -> list[str]:
    """A secret of an id alone is the variable of that name, or else the file."""
    return [secret.file or secret.id for secret in target.secrets or () if not secret.variable]


def _written(target: Target) -> list[str]:
    found = [output.destination for output in target.outputs or () if output.destination not in ("", "-")]
    return found + [entry.attributes["dest"] for entry in target.cache_to or ()
                    if entry.type.lower() != "registry" and "dest" in entry.attributes]


def _is_path(value: str) -> bool:
    return os.path.isdir(value) or not is_remote(value)


def _uncovered(granted: Sequence[str], paths: Sequence[str]) -> list[str]:
    """The existing parts of the paths, links followed, that are below nothing granted; none below another one."""
    if "*" in granted:
        return []
    roots = [os.path.realpath(path) for path in granted]
    uncovered = [path for path in map(os.path.realpath, paths) if not any(_is_below(path, root) for root in roots)]
    found: list[str] = []
    for path in sorted(set(map(_existing, uncovered)), key=len):
        if not any(_is_below(path, other) for other in found):
            found.append(path)
    return sorted(found)


def _existing(path: str) -> str:
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")
