"""Which commit a reference is. What BuildKit does with the same repositories is the measure."""

from __future__ import annotations

import msgspec
import pytest

from builder.context.git import GitAccess, GitRevision, UnresolvedGitRef, git_key, resolve_git
from builder.context.gitprogram import GitFailed
from builder.plan.vertices import SourceGit

from .gitsite import Site
from .servers import git


@pytest.mark.parametrize(("ref", "expected"), [
    ("", ("refs/heads/main", "second", "second")),
    ("main", ("refs/heads/main", "second", "second")),
    ("heads/main", ("refs/heads/main", "second", "second")),
    ("refs/heads/main", ("refs/heads/main", "second", "second")),
    ("side", ("refs/heads/side", "first", "first")),
    ("v1", ("refs/tags/v1", "first", "first")),
    ("refs/tags/v1", ("refs/tags/v1", "first", "first")),
    ("v2", ("refs/heads/v2", "first", "first")),
    ("refs/tags/v2", ("refs/tags/v2", "second", "second")),
    ("signed", ("refs/tags/signed", "tag", "first")),
    ("refs/pull/7/head", ("refs/pull/7/head", "first", "first")),
    ("pull/7/head", ("refs/pull/7/head", "first", "first")),
])
def test_resolves_as_git_checkout_does(site: Site, access: GitAccess, ref: str,
                                       expected: tuple[str, str, str]) -> None:
    name, object_id, commit_id = expected
    revision = resolve_git(SourceGit(remote=site.repo, ref=ref), access)
    assert revision == GitRevision(ref=name, object=getattr(site, object_id), commit=getattr(site, commit_id))


def test_a_commit_id_is_not_asked_for(access: GitAccess) -> None:
    sha = "1" * 40
    op = SourceGit(remote="http://127.0.0.1:1/x.git", ref=sha, checksum=sha[:9])
    assert resolve_git(op, access) == GitRevision(ref="", object=sha, commit=sha)


@pytest.mark.parametrize(("ref", "checksum"), [
    ("", "second"), ("v1", "first"), ("signed", "first"), ("signed", "tag"),
])
def test_checksum_accepts_the_commit_and_the_tag(site: Site, access: GitAccess, ref: str, checksum: str) -> None:
    sha = getattr(site, checksum)
    for text in (sha, sha[:7]):
        assert resolve_git(SourceGit(remote=site.repo, ref=ref, checksum=text), access)


def test_checksum_errors(site: Site, access: GitAccess) -> None:
    first, second, tag = site.first, site.second, site.tag
    cases = {
        ("", first): f"expected checksum to match {first}, got {second}",
        ("", second.upper()): f"expected checksum to match {second.upper()}, got {second}",
        ("signed", second): f"expected checksum to match {second}, got {tag} or {first}",
        (second, first[:8]): f"expected checksum to match {first[:8]}, got {second}",
        ("", "xyz"): "invalid checksum xyz for Git URL, expected hex commit hash",
    }
    for (ref, checksum), message in cases.items():
        with pytest.raises(UnresolvedGitRef) as error:
            resolve_git(SourceGit(remote=site.repo, ref=ref, checksum=checksum), access)
        assert error.value.message == message


@pytest.mark.parametrize(("ref", "message"), [
    ("nope", "repository does not contain ref nope"),
    ("HEAD", "repository does not contain ref HEAD"),
    ("mai*", "repository does not contain ref mai*"),
    ("--upload-pack=touch /tmp/x", 'invalid git ref "--upload-pack=touch /tmp/x"'),
])
def test_refs_that_do_not_exist(site: Site, access: GitAccess, ref: str, message: str) -> None:
    with pytest.raises(UnresolvedGitRef) as error:
        resolve_git(SourceGit(remote=site.repo, ref=ref), access)
    assert error.value.message == message


def test_fetch_by_commit_trusts_the_checksum(access: GitAccess) -> None:
    sha, remote = "2" * 40, "http://127.0.0.1:1/x.git"
    for ref, name in (("", ""), ("main", "refs/heads/main"), ("refs/tags/v1", "refs/tags/v1")):
        op = SourceGit(remote=remote, ref=ref, checksum=sha, fetch_by_commit=True)
        assert resolve_git(op, access) == GitRevision(ref=name, object=sha, commit=sha)
    for checksum, message in (("", "fetch-by-commit requires a checksum or a commit SHA ref"),
                              ("22", 'fetch-by-commit requires a full commit SHA checksum, got "22"')):
        with pytest.raises(UnresolvedGitRef) as error:
            resolve_git(SourceGit(remote=remote, checksum=checksum, fetch_by_commit=True), access)
        assert error.value.message == message


def test_no_repository(site: Site, access: GitAccess) -> None:
    with pytest.raises(GitFailed) as error:
        resolve_git(SourceGit(remote=f"{site.base}/none.git"), access)
    assert error.value.message == f"failed to fetch default branch for repository {site.base}/none.git"
    assert "not found" in (error.value.cause or "")


def test_an_empty_repository_has_no_default_branch(site: Site, access: GitAccess) -> None:
    git("init", "-q", "--bare", str(site.root / "empty.git"))
    with pytest.raises(UnresolvedGitRef, match="could not find default branch for repository: "):
        resolve_git(SourceGit(remote=f"{site.base}/empty.git"), access)


def test_key_holds_what_shows_in_the_files() -> None:
    op = SourceGit(remote="https://user:pass@example.com/x.git")
    tag = GitRevision(ref="refs/tags/v1", object="b" * 40, commit="a" * 40)
    branch = GitRevision(ref="refs/heads/main", object="a" * 40, commit="a" * 40)
    assert git_key(op, tag) == git_key(op, branch) == git_key(SourceGit(remote="ssh://h/x"), branch)
    variants = [{"subdir": "d"}, {"submodules": False}, {"mtime": "commit"}, {"keep_git_dir": True}]
    keys = {git_key(msgspec.structs.replace(op, **change), branch) for change in variants}
    assert len(keys | {git_key(op, branch)}) == 5
    kept = msgspec.structs.replace(op, keep_git_dir=True)
    assert git_key(kept, tag) != git_key(kept, branch)
    assert "pass" not in git_key(kept, tag)
    within = msgspec.structs.replace(kept, subdir="/d/")
    assert git_key(within, tag) == git_key(msgspec.structs.replace(op, subdir="d"), branch)
