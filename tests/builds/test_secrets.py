from __future__ import annotations

import socket
from pathlib import Path

import pytest

from builder.builds.secrets import Credentials, SecretSource, SshSource
from builder.builds.sshagents import NoAgent, SshAgents
from builder.errors import InvalidValue


def test_a_secret_from_a_file_that_does_not_exist_is_refused_before_a_build() -> None:
    with pytest.raises(InvalidValue) as failure:
        SecretSource(id="token", file="/nope")
    assert failure.value.message == "failed to stat /nope: no such file or directory"
    assert failure.value.notes == ("it was to be the secret `token`",)


def test_secrets_are_read_when_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "secret"
    file.write_text("old")
    monkeypatch.setenv("TOKEN", "t")
    credentials = Credentials((SecretSource(id="a", file=str(file)), SecretSource(id="b", env="TOKEN")), ())
    file.write_text("new")
    assert (credentials.secret("a"), credentials.secret("b"), credentials.secret("c")) == (b"new", b"t", None)


def test_the_builds_of_a_run_reach_an_agent_by_one_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "agent")
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(path)
        agent.listen()
        agents = SshAgents()
        first = Credentials((), (SshSource(id="a", paths=(path,)),), agents)
        second = Credentials((), (SshSource(id="b", paths=(path,)),), agents)
        try:
            assert first.ssh_socket("a") == second.ssh_socket("b") is not None
            assert first.ssh_socket("b") is None
        finally:
            first.close()


def test_an_agent_that_is_not_there_is_refused_before_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(NoAgent):
        Credentials((), (SshSource(),))
