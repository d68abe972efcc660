"""The secrets and SSH agents that one build may use: --secret and --ssh as values, and what reads them for it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from builder.errors import ContextError, InvalidValue

if TYPE_CHECKING:
    from builder.builds.sshagents import SshAgents

_MAX_SECRET = 500 << 10
_KEYS = ("type", "id", "source", "src", "env")


class SecretSource(msgspec.Struct, frozen=True, kw_only=True):
    """--secret id=...[,src=FILE | ,env=NAME]. Raises InvalidValue for a file that does not exist."""

    id: str
    file: str = ""
    env: str = ""

    def __post_init__(self) -> None:
        if self.file and not os.path.exists(self.file):
            raise InvalidValue(f"failed to stat {self.file}: no such file or directory",
                               notes=(f"it was to be the secret `{self.id}`",))

    @classmethod
    def parse(cls, text: str) -> SecretSource:
        """As buildx reads it: without src and env the id names a variable, or else a file. Raises InvalidValue."""
        values = _secret_fields(text)
        name, file, variable = values.get("id", ""), values.get("src", ""), values.get("env", "")
        if values.get("type", "file") not in ("file", "env"):
            raise InvalidValue(f'unsupported secret type "{values["type"]}"')
        if values.get("type") == "env" and not variable:
            file, variable = "", file
        if not name:
            raise InvalidValue(f"`{text}` of --secret has no id")
        if not file and not variable:
            file, variable = ("", name) if name in os.environ else (name, "")
        return cls(id=name, file=file, env=variable)

    def read(self) -> bytes:
        """The value: an unset variable is empty, as with buildx. Raises ContextError."""
        if self.env:
            return os.environ.get(self.env, "").encode("utf-8", "surrogateescape")
        try:
            with open(self.file, "rb") as file:
                data = file.read(_MAX_SECRET + 1)
        except OSError as error:
            raise ContextError(f"cannot read secret {self.id} from `{self.file}`", cause=error.strerror) from error
        if len(data) > _MAX_SECRET:
            raise ContextError(f"secret {self.id} is larger than {_MAX_SECRET} bytes")
        return data


def _secret_fields(text: str) -> dict[str, str]:
    from builder.attributes import fields_of

    values = {}
    for field in fields_of(text, what="failed to parse csv secret: "):
        key, equals, value = field.partition("=")
        if not equals:
            raise InvalidValue(f"invalid field '{field}' must be a key=value pair")
        if key.lower() not in _KEYS:
            raise InvalidValue(f"unexpected key '{key.lower()}' in '{field}'")
        values["src" if key.lower() == "source" else key.lower()] = value
    return values


class SshSource(msgspec.Struct, frozen=True, kw_only=True):
    """--ssh id[=socket|key,...]; no paths means $SSH_AUTH_SOCK."""

    id: str = "default"
    paths: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> SshSource:
        name, _, paths = text.partition("=")
        return cls(id=name or "default", paths=tuple(path for path in paths.split(",") if path))


class Credentials:
    """What fetching and steps ask for by id. Agents start when the first socket is asked for, and run until `close`."""

    def __init__(self, secrets: Sequence[SecretSource], ssh: Sequence[SshSource],
                 agents: SshAgents | None = None) -> None:
        """`agents` are those of a run of several builds. Raises UsageError for what no agent can come of."""
        self._secrets = {source.id: source for source in secrets}
        self._ssh: dict[str, tuple[str, ...]] = {}
        self._agents = agents
        if ssh:
            from builder.builds.sshagents import SshAgents, checked_paths

            self._ssh = {source.id: checked_paths(source.id, source.paths) for source in ssh}
            self._agents = agents or SshAgents()

    def secret(self, identity: str) -> bytes | None:
        """The value of a secret, read when it is asked for; None for one that was not passed. Raises ContextError."""
        source = self._secrets.get(identity)
        return None if source is None else source.read()

    def ssh_socket(self, identity: str) -> str | None:
        """A Unix socket that speaks the agent protocol; None for an id that was not passed. Raises UnusableKey."""
        paths = self._ssh.get(identity)
        return None if paths is None or self._agents is None else self._agents.socket(paths)

    def close(self) -> None:
        """Ends the agents. Idempotent."""
        if self._agents is not None:
            self._agents.close()
