"""Registry credentials, where docker and podman keep them.

Read in this order, the first file that knows the registry wins: `--authfile`, else `$DOCKER_CONFIG/config.json`
(`~/.docker/config.json`), `$REGISTRY_AUTH_FILE`, `$XDG_RUNTIME_DIR/containers/auth.json`,
`$XDG_CONFIG_HOME/containers/auth.json`. In a file `credHelpers` wins over `credsStore`, which wins over `auths`.
`login` and `logout` write the first of these files (docker's) only. Secrets never appear in messages.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from builder.errors import RegistryError
from builder.oci import decode_json
from builder.registry.settings import DOCKER_HUB, RegistrySettings

_HUB_KEY = "https://index.docker.io/v1/"
_HELPER_NAME = re.compile(r"[A-Za-z0-9._-]+")
_HELPER_SECONDS = 60
_IDENTITY_TOKEN_USER = "<token>"


class Credentials(msgspec.Struct, frozen=True):
    """A user with a password, or an identity token (then `password` is "")."""

    user: str = ""
    password: str = ""
    identity_token: str = ""

    def __repr__(self) -> str:
        return f"Credentials({self.user!r}, ...)"


class BadAuthFile(RegistryError):
    code = "auth-file"

    def __init__(self, path: Path, cause: str) -> None:
        super().__init__(f"cannot read registry credentials from `{path}`", cause=cause)


class HelperFailed(RegistryError):
    code = "credential-helper"

    def __init__(self, program: str, registry: str, cause: str) -> None:
        super().__init__(f"credential helper `{program}` failed for registry `{registry}`", cause=cause)


class Keychain:
    """Looks credentials up; safe for threads, asks each helper once per registry."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], Credentials | None] = {}

    def lookup(self, domain: str, repository: str = "") -> Credentials | None:
        """What to log in to `domain` with, or None. Raises BadAuthFile, HelperFailed."""
        key = (domain, repository)
        with self._lock:
            if key not in self._known:
                self._known[key] = self._lookup(domain, repository)
            return self._known[key]

    def _lookup(self, domain: str, repository: str) -> Credentials | None:
        given = self._settings.credentials
        if pair := given.get(domain) or given.get("*"):
            return Credentials(*pair)
        for path in auth_files(self._settings.authfile):
            if (document := _read(path)) and (found := _from_document(document, domain, repository, path)):
                return found
        return None


def auth_files(authfile: str = "") -> Iterator[Path]:
    """The files that may hold credentials, first choice first; they need not exist."""
    if authfile:
        yield Path(authfile)
        return
    yield docker_config_file()
    if named := os.environ.get("REGISTRY_AUTH_FILE"):
        yield Path(named)
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime, "containers", "auth.json")
    yield Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config", "containers", "auth.json")


def docker_config_file() -> Path:
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker", "config.json")


def login(domain: str, credentials: Credentials, *, authfile: str = "") -> None:
    """Keeps credentials for `domain`: in the helper that the file names for it, else in the file (mode 0600)."""
    path = next(auth_files(authfile))
    document = _read(path)
    if helper := _helper_for(document, domain):
        user = _IDENTITY_TOKEN_USER if credentials.identity_token else credentials.user
        secret = credentials.identity_token or credentials.password
        _call_helper(helper, "store", domain, msgspec.json.encode(
            {"ServerURL": _server_key(domain), "Username": user, "Secret": secret}))
        return
    entry = {"auth": base64.b64encode(f"{credentials.user}:{credentials.password}".encode()).decode()}
    if credentials.identity_token:
        entry["identitytoken"] = credentials.identity_token
    _write(path, {**document, "auths": {**_object(document, "auths"), _server_key(domain): entry}})


def logout(domain: str, *, authfile: str = "") -> bool:
    """Forgets what `login` kept for `domain`; whether there was anything."""
    path = next(auth_files(authfile))
    document = _read(path)
    if helper := _helper_for(document, domain):
        _call_helper(helper, "erase", domain, _server_key(domain).encode())
        return True
    auths = _object(document, "auths")
    kept = {key: value for key, value in auths.items() if _registry_of(key) != domain}
    if len(kept) < len(auths):
        _write(path, {**document, "auths": kept})
    return len(kept) < len(auths)


def _from_document(document: dict[str, Any], domain: str, repository: str, path: Path) -> Credentials | None:
    if (helper := _helper_for(document, domain)) and (found := _ask_helper(helper, domain)):
        return found
    best: tuple[int, Any] = (-1, None)
    for key, entry in _object(document, "auths").items():
        registry, _, namespace = _split_key(key)
        matches = registry == domain and (not namespace or f"{repository}/".startswith(f"{namespace}/"))
        if matches and isinstance(entry, dict) and len(namespace) > best[0]:
            best = (len(namespace), entry)
    return _decode(best[1], path) if best[1] else None


def _decode(entry: dict[str, Any], path: Path) -> Credentials | None:
    token = entry.get("identitytoken") or ""
    user, password = entry.get("username") or "", entry.get("password") or ""
    if encoded := entry.get("auth"):
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().rstrip("\0").partition(":")
        except (binascii.Error, UnicodeDecodeError, TypeError) as error:
            raise BadAuthFile(path, "an `auth` value is not base64 of `user:password`") from error
    return Credentials(user, password, token) if user or token else None


def _helper_for(document: dict[str, Any], domain: str) -> str | None:
    helpers = {_registry_of(key): name for key, name in _object(document, "credHelpers").items()}
    name = helpers.get(domain) or document.get("credsStore")
    return name if isinstance(name, str) and name else None


def _ask_helper(name: str, domain: str) -> Credentials | None:
    answer = _call_helper(name, "get", domain, _server_key(domain).encode())
    if answer is None:
        return None
    try:
        found = decode_json(answer, dict[str, Any])
    except msgspec.DecodeError as error:
        raise HelperFailed(f"docker-credential-{name}", domain, f"its answer is not JSON: {error}") from error
    user, secret = str(found.get("Username") or ""), str(found.get("Secret") or "")
    if user == _IDENTITY_TOKEN_USER:
        return Credentials("", "", secret)
    return Credentials(user, secret) if user else None


def _call_helper(name: str, action: str, domain: str, data: bytes) -> bytes | None:
    """The helper's answer, None when it has no credentials (docker-credential-helpers' protocol)."""
    import subprocess

    program = f"docker-credential-{name}"
    if not _HELPER_NAME.fullmatch(name):
        raise HelperFailed(program, domain, "its name holds other characters than letters, digits, `.`, `_` and `-`")
    try:
        done = subprocess.run([program, action], input=data, capture_output=True, timeout=_HELPER_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HelperFailed(program, domain, str(error)) from error
    if done.returncode == 0:
        return done.stdout
    said = (done.stdout + done.stderr).decode(errors="replace").strip()
    if "credentials not found" in said:
        return None
    raise HelperFailed(program, domain, said or f"exit status {done.returncode}")


def _server_key(domain: str) -> str:
    return _HUB_KEY if domain == DOCKER_HUB else domain


def _split_key(key: str) -> tuple[str, str, str]:
    """A key of `auths` as (registry domain, "/", namespace); keys may be URLs, `/v1/` and `/v2/` count for nothing."""
    registry, slash, namespace = key.partition("://")[2].partition("/") if "://" in key else key.partition("/")
    namespace = namespace.strip("/")
    if registry in {"index.docker.io", "registry-1.docker.io"}:
        registry = DOCKER_HUB
    return registry, slash, "" if namespace in {"v1", "v2"} else namespace


def _registry_of(key: str) -> str:
    return _split_key(key)[0]


def _object(document: dict[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _read(path: Path) -> dict[str, Any]:
    try:
        return decode_json(path.read_bytes() or b"{}", dict[str, Any])
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, msgspec.DecodeError) as error:
        raise BadAuthFile(path, str(error)) from error


def _write(path: Path, document: dict[str, Any]) -> None:
    """Replaces the file, or what it links to, at once; mode 0600."""
    import tempfile

    target = Path(os.path.realpath(path))
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=target.name, delete=False) as file:
        file.write(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
    os.replace(file.name, target)
