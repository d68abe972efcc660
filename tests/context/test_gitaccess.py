"""Git's way to its remotes: credentials, ssh, and what on this machine has no say."""

from __future__ import annotations

import base64
import os
import shutil
import threading
from pathlib import Path

import msgspec
import pytest

from builder.context.git import GitAccess, SshNeeded, redacted, resolve_git
from builder.context.gitmirror import MirrorForeign
from builder.context.gitprogram import GitFailed, GitMissing
from builder.errors import BuilderError, Cancelled
from builder.plan.vertices import SourceGit

from .gitsite import FILES, Site, checkout
from .servers import git

TOKEN_HEADER = "basic " + base64.b64encode(b"x-access-token:t0ken").decode()


@pytest.mark.parametrize(("secrets", "login"), [
    ({"GIT_AUTH_TOKEN": b"t0ken\n"}, TOKEN_HEADER),
    ({"GIT_AUTH_HEADER": b"Bearer abc"}, "Bearer abc"),
    ({"GIT_AUTH_HEADER": b"Bearer abc", "GIT_AUTH_TOKEN": b"t0ken"}, "Bearer abc"),
    ({"GIT_AUTH_HEADER": b"Bearer abc", "GIT_AUTH_TOKEN.{host}": b"t0ken"}, TOKEN_HEADER),
    ({"GIT_AUTH_TOKEN.{host}": b"t0ken", "GIT_AUTH_TOKEN": b"other"}, TOKEN_HEADER),
])
def test_credentials(site: Site, tmp_path: Path, secrets: dict[str, bytes], login: str) -> None:
    known = {name.replace("{host}", site.http.host): value for name, value in secrets.items()}
    access = GitAccess(cache_dir=str(tmp_path / "cache"), secret=known.get)
    site.http.git_login = login
    try:
        assert checkout(SourceGit(remote=site.repo), access, tmp_path / "out") == FILES
    finally:
        site.http.git_login = ""
    assert not [path for path in (tmp_path / "cache").rglob("config") if "Authorization" in path.read_text()]


def test_without_credentials(site: Site, access: GitAccess) -> None:
    site.http.git_login = "Bearer x"
    try:
        with pytest.raises(GitFailed) as error:
            resolve_git(SourceGit(remote=site.repo), access)
    finally:
        site.http.git_login = ""
    assert "terminal prompts disabled" in (error.value.cause or "")


def test_a_password_in_the_remote_stays_hidden(site: Site, access: GitAccess, tmp_path: Path) -> None:
    remote = f"http://me:hunter2@{site.http.host}/git/repo.git"
    out = tmp_path / "out"
    assert checkout(SourceGit(remote=remote, keep_git_dir=True), access, out) == FILES
    shown = f"http://xxxxx:xxxxx@{site.http.host}/git/repo.git"
    assert git("config", "remote.origin.url", cwd=str(out)) == shown
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink())
    assert b"hunter2" not in stored
    with pytest.raises(BuilderError) as error:
        resolve_git(SourceGit(remote=remote.replace("repo", "none")), access)
    assert "hunter2" not in f"{error.value} {error.value.cause} {error.value.notes}"


def test_a_password_with_an_at_sign_stays_hidden() -> None:
    said = "fatal: unable to access 'https://me:hun@ter2@h/x.git/': no such host, see https://h/@docs"
    assert GitFailed("fetch", 128, said).cause == (
        "fatal: unable to access 'https://xxxxx@h/x.git/': no such host, see https://h/@docs")


def test_redacted() -> None:
    cases = {
        "https://u:p@h/x.git": "https://xxxxx:xxxxx@h/x.git", "https://u@h/x.git": "https://xxxxx@h/x.git",
        "https://h/x.git": "https://h/x.git", "git@h:x.git": "git@h:x.git",
    }
    assert {remote: redacted(remote) for remote in cases} == cases


@pytest.mark.parametrize("remote", ["git@127.0.0.1:x.git", "ssh://git@127.0.0.1/x.git"])
def test_ssh_needs_an_agent(access: GitAccess, remote: str) -> None:
    with pytest.raises(SshNeeded, match="unset ssh forward key default"):
        resolve_git(SourceGit(remote=remote), access)


def test_ssh_failures_are_told(access: GitAccess) -> None:
    with pytest.raises(GitFailed) as error:
        resolve_git(SourceGit(remote="ssh://git@127.0.0.1:1/x.git"),
                    msgspec.structs.replace(access, ssh_socket="/nowhere"))
    assert "port 1" in (error.value.cause or "")


def test_cancelled(site: Site, access: GitAccess) -> None:
    event = threading.Event()
    event.set()
    with pytest.raises(Cancelled):
        resolve_git(SourceGit(remote=site.repo), msgspec.structs.replace(access, cancelled=event))


def test_no_git_on_this_machine(site: Site, access: GitAccess, monkeypatch: pytest.MonkeyPatch,
                                tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitMissing):
        resolve_git(SourceGit(remote=site.repo), access)


def test_the_users_configuration_is_not_read(site: Site, access: GitAccess, monkeypatch: pytest.MonkeyPatch,
                                             tmp_path: Path) -> None:
    (tmp_path / ".gitconfig").write_text("[core]\n\tautocrlf = true\n[url \"http://127.0.0.1:1/\"]\n\tinsteadOf = http://\n")
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'http.proxy'='http://127.0.0.1:1'")
    assert checkout(SourceGit(remote=site.repo), access, tmp_path / "out") == FILES


PLANTED = """[core]
	repositoryformatversion = 0
	bare = true
	fsmonitor = touch {marker}; false
	sshCommand = touch {marker}; false
	gitProxy = {script}
	alternateRefsCommand = {script}
	hooksPath = {hooks}
[remote "origin"]
	uploadpack = touch {marker}; git-upload-pack
	vcs = planted
[credential]
	helper = "!touch {marker}"
[uploadpack]
	packObjectsHook = {script}
[url "ext::{script}"]
	insteadOf = {remote}
	insteadOf = file://
[include]
	path = {hooks}/more
[filter "x"]
	smudge = touch {marker}
	process = {script}
"""


@pytest.mark.parametrize("keep_git_dir", [False, True])
@pytest.mark.parametrize("protocol", ["http", "git"])
def test_the_configuration_of_a_mirror_runs_nothing(site: Site, fresh: GitAccess, tmp_path: Path, protocol: str,
                                                    keep_git_dir: bool) -> None:
    remote = site.repo if protocol == "http" else f"{site.daemon}/repo.git"
    checkout(SourceGit(remote=remote, ref=site.first), fresh, tmp_path / "first")
    (mirror,) = Path(fresh.cache_dir).glob("*.git")
    (hooks := tmp_path / "hooks").mkdir()
    marker = tmp_path / "ran"
    for name in ("script", "reference-transaction", "post-checkout", "post-index-change", "fsmonitor-watchman"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {marker}\n")
        (hooks / name).chmod(0o755)
    shutil.copytree(hooks, mirror / "hooks", dirs_exist_ok=True)
    text = PLANTED.format(marker=marker, script=hooks / "script", hooks=hooks, remote=remote)
    (hooks / "more").write_text(text)
    (mirror / "config").write_text(text)
    checkout(SourceGit(remote=remote, keep_git_dir=keep_git_dir), fresh, tmp_path / "second")
    assert not marker.exists()
    assert str(marker) not in (mirror / "config").read_text()


@pytest.mark.root
def test_a_mirror_of_another_user_is_not_used(site: Site, fresh: GitAccess, tmp_path: Path) -> None:
    checkout(SourceGit(remote=site.repo, ref=site.first), fresh, tmp_path / "first")
    (mirror,) = Path(fresh.cache_dir).glob("*.git")
    os.chown(mirror, 4242, 4242)
    with pytest.raises(MirrorForeign) as caught:
        checkout(SourceGit(remote=site.repo), fresh, tmp_path / "second")
    assert caught.value.hint == f"remove `{mirror}`; it is fetched again"
