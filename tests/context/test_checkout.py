"""The files of a commit, of a sub directory, and a .git that is kept, as BuildKit leaves them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from builder.context.checkout import InvalidSubdir
from builder.context.git import GitAccess, fetch_git, resolve_git
from builder.context.gitmirror import CommitGone
from builder.context.httpsource import HttpAccess
from builder.context.remotecontext import RemoteContext, open_remote_context, remote_source
from builder.plan.vertices import SourceGit

from .gitsite import FILES, FIRST, Site, checkout, commit, listing, write
from .servers import COMMIT_TIME, git


@pytest.mark.parametrize(("ref", "files"), [("", FILES), ("v1", FIRST), ("signed", FIRST), ("v2", FIRST)])
def test_files_of_a_ref(site: Site, access: GitAccess, tmp_path: Path, ref: str, files: dict[str, str]) -> None:
    before = os.umask(0o077)
    try:
        assert checkout(SourceGit(remote=site.repo, ref=ref), access, tmp_path / "out") == files
    finally:
        os.umask(before)
    assert (tmp_path / "out").stat().st_mode & 0o7777 == 0o755


@pytest.mark.parametrize("protocol", ["http", "git"])
@pytest.mark.parametrize("object_id", ["first", "second", "tag"])
def test_files_of_an_object(site: Site, fresh: GitAccess, tmp_path: Path, protocol: str, object_id: str) -> None:
    remote = site.repo if protocol == "http" else f"{site.daemon}/repo.git"
    op = SourceGit(remote=remote, ref=getattr(site, object_id))
    assert checkout(op, fresh, tmp_path / "out") == (FILES if object_id == "second" else FIRST)


def test_result_names_the_commit(site: Site, access: GitAccess, tmp_path: Path) -> None:
    op = SourceGit(remote=site.repo, ref="signed")
    result = fetch_git(op, resolve_git(op, access), str(tmp_path), access)
    assert (result.commit, result.commit_time) == (site.first, COMMIT_TIME)


def test_a_revision_outlives_its_ref(site: Site, fresh: GitAccess, tmp_path: Path) -> None:
    bare = str(site.root / "repo.git")
    git("update-ref", "refs/heads/moving", site.first, cwd=bare)
    op = SourceGit(remote=site.repo, ref="moving")
    revision = resolve_git(op, fresh)
    git("update-ref", "refs/heads/moving", site.second, cwd=bare)
    out = tmp_path / "out"
    out.mkdir()
    fetch_git(op, revision, str(out), fresh)
    assert listing(out) == FIRST


def test_what_was_fetched_is_not_fetched_again(site: Site, access: GitAccess, tmp_path: Path) -> None:
    op = SourceGit(remote=site.repo)
    revision = resolve_git(op, access)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        before = len(site.http.requests)
        fetch_git(op, revision, str(tmp_path / name), access)
    assert len(site.http.requests) == before
    assert listing(tmp_path / "one") == listing(tmp_path / "two") == FILES


def test_locks_of_a_dead_process_do_not_matter(site: Site, fresh: GitAccess, tmp_path: Path) -> None:
    checkout(SourceGit(remote=site.repo, ref="v1"), fresh, tmp_path / "one")
    mirror = next(Path(fresh.cache_dir).glob("*.git"))
    (mirror / "shallow.lock").touch()
    (mirror / "refs" / "builder" / f"{site.second}.lock").touch()
    assert checkout(SourceGit(remote=site.repo), fresh, tmp_path / "two") == FILES


def test_a_commit_that_does_not_exist(site: Site, access: GitAccess, tmp_path: Path) -> None:
    with pytest.raises(CommitGone, match=f"fetched ref {'3' * 40} does not match expected commit"):
        checkout(SourceGit(remote=site.repo, ref="3" * 40), access, tmp_path / "out")


def test_many_at_once(site: Site, fresh: GitAccess, tmp_path: Path) -> None:
    found: dict[str, dict[str, str]] = {}
    refs = ["", "v1", "signed", "side"]
    threads = [threading.Thread(target=lambda ref=ref: found.update(
        {ref: checkout(SourceGit(remote=site.repo, ref=ref), fresh, tmp_path / f"x{ref}")})) for ref in refs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"": FILES, "v1": FIRST, "signed": FIRST, "side": FIRST}


@pytest.mark.parametrize("mtime", ["", "checkout", "commit"])
def test_times(site: Site, access: GitAccess, tmp_path: Path, mtime: str) -> None:
    out = tmp_path / "out"
    checkout(SourceGit(remote=site.repo, ref="v1", mtime=mtime), access, out)
    times = {int(path.lstat().st_mtime) for path in (out, *out.rglob("*"))}
    if mtime == "commit":
        assert times == {COMMIT_TIME}
    else:
        assert min(times) > COMMIT_TIME + 10_000_000


def test_as_a_build_context(site: Site, access: GitAccess, tmp_path: Path) -> None:
    known = remote_source(f"{site.repo}?tag=v1#:d")
    assert known is not None
    context = open_remote_context(known, str(tmp_path), git=access, http=HttpAccess(secret=lambda _: None))
    assert context == RemoteContext(time=COMMIT_TIME)
    assert listing(tmp_path) == {"e": "d 755", "e/f.txt": "f 644 inner"}


# -- sub directories -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subdir", ["d", "/d", "d/", "./d//", "../../d", "bin/../d"])
def test_subdir(site: Site, access: GitAccess, tmp_path: Path, subdir: str) -> None:
    op = SourceGit(remote=site.repo, subdir=subdir, keep_git_dir=True)
    assert checkout(op, access, tmp_path / "out") == {"e": "d 755", "e/f.txt": "f 644 inner"}
    assert not (tmp_path / "out" / ".git").exists()


@pytest.mark.parametrize(("subdir", "message"), [
    ("nope", 'invalid subdir /nope: failed to lstat "nope": no such file or directory'),
    ("d/nope", 'invalid subdir /d/nope: failed to lstat "d/nope": no such file or directory'),
    ("README", 'invalid subdir /README: git subpath "/README" contains non-directory "README"'),
    ("dirlink", 'invalid subdir /dirlink: git subpath "/dirlink" contains non-directory "dirlink"'),
    ("dirlink/e", 'invalid subdir /dirlink/e: git subpath "/dirlink/e" contains non-directory "dirlink"'),
    ("outside", 'invalid subdir /outside: git subpath "/outside" contains non-directory "outside"'),
])
def test_no_such_subdir(site: Site, access: GitAccess, tmp_path: Path, subdir: str, message: str) -> None:
    with pytest.raises(InvalidSubdir) as error:
        checkout(SourceGit(remote=site.repo, subdir=subdir), access, tmp_path / "out")
    assert error.value.message == message


# -- a kept .git ---------------------------------------------------------------------------------------------------

KEPT = {
    "": (["refs/heads/main", "refs/tags/main"], "second"),
    "main": (["refs/heads/main", "refs/tags/main"], "second"),
    "refs/heads/side": (["refs/heads/side", "refs/tags/side"], "first"),
    "v1": (["refs/heads/v1", "refs/tags/v1"], "first"),
    "signed": (["refs/tags/signed"], "first"),
    "refs/tags/signed": (["refs/tags/signed"], "first"),
    "FIRST": ([], "first"),
}


@pytest.mark.parametrize("ref", KEPT)
def test_kept_git_dir(site: Site, access: GitAccess, tmp_path: Path, ref: str) -> None:
    refs, name = KEPT[ref]
    sha = getattr(site, name)
    out = tmp_path / "out"
    op = SourceGit(remote=site.repo, ref=site.first if ref == "FIRST" else ref, keep_git_dir=True)
    assert checkout(op, access, out) == (FILES if name == "second" else FIRST)
    git_dir = out / ".git"
    assert (git_dir / "HEAD").read_text() == (git_dir / "shallow").read_text() == f"{sha}\n"
    assert git("for-each-ref", "--format=%(refname)", cwd=str(out)).split() == refs
    assert git("status", "--porcelain", cwd=str(out)) == ""
    assert git("config", "remote.origin.url", cwd=str(out)) == site.repo
    assert git("reflog", "--all", cwd=str(out)) == ""
    assert not (git_dir / "FETCH_HEAD").exists()
    git("fsck", "--strict", cwd=str(out))


def test_kept_git_dir_is_the_same_whatever_was_fetched_before(site: Site, access: GitAccess, tmp_path: Path) -> None:
    for ref in ("main", "signed", "side", "v2"):
        checkout(SourceGit(remote=site.repo, ref=ref, keep_git_dir=True), access, tmp_path / ref)
    assert checkout(SourceGit(remote=site.repo, ref="v1", keep_git_dir=True), access, tmp_path / "v1") == FIRST
    assert git("for-each-ref", "--format=%(refname)", cwd=str(tmp_path / "v1")).split() == ["refs/heads/v1",
                                                                                            "refs/tags/v1"]


def test_sha256_repository(site: Site, access: GitAccess, tmp_path: Path) -> None:
    work = str(tmp_path / "work")
    git("init", "-q", "-b", "main", "--object-format=sha256", work)
    write(work, {"a": "a"})
    sha = commit(work, "one")
    site.serve(work, "long.git")
    for name, keep in (("plain", False), ("kept", True)):
        op = SourceGit(remote=f"{site.base}/long.git", ref=sha if keep else "", keep_git_dir=keep)
        assert checkout(op, access, tmp_path / name) == {"a": "f 644 a"}
