"""Git sources against real servers. What BuildKit does with the same repositories is the measure."""

from __future__ import annotations

import base64
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from builder.context.checkout import InvalidSubdir
from builder.context.git import (
    GitAccess,
    GitRevision,
    SshNeeded,
    UnresolvedGitRef,
    fetch_git,
    git_key,
    redacted,
    resolve_git,
)
from builder.context.gitmirror import CommitGone
from builder.context.gitprogram import GitFailed, GitMissing
from builder.context.http import HttpAccess
from builder.context.remote import RemoteContext, open_remote_context, remote_source
from builder.errors import BuilderError, Cancelled
from builder.plan.vertices import SourceGit

from .servers import COMMIT_TIME, FileServer, git, git_daemon

FILES = {
    "README": "f 644 second", "link": "l README", "dirlink": "l d", "outside": "l /etc", "bin": "d 755",
    "bin/tool": "f 755 #!/bin/sh", "d": "d 755", "d/e": "d 755", "d/e/f.txt": "f 644 inner",
}
FIRST = {**FILES, "README": "f 644 first"}


class Site:
    """Repositories of every kind, and where they are served."""

    def __init__(self, root: Path, http: FileServer, daemon: str) -> None:
        self.root, self.http, self.daemon = root, http, daemon
        self.base = f"{http.url}/git"
        self.repo = f"{self.base}/repo.git"

    def make(self) -> None:
        work = str(self.root / "work")
        git("init", "-q", "-b", "main", work)
        _write(work, {"README": "first\n", "bin/tool": "#!/bin/sh\n", "d/e/f.txt": "inner\n"})
        os.chmod(f"{work}/bin/tool", 0o755)
        for name, target in (("link", "README"), ("dirlink", "d"), ("outside", "/etc")):
            os.symlink(target, f"{work}/{name}")
        self.first = commit(work, "one")
        for args in (("tag", "v1"), ("tag", "-a", "-m", "annotated", "signed"), ("branch", "side"), ("branch", "v2")):
            git(*args, cwd=work)
        self.tag = git("rev-parse", "signed", cwd=work)
        _write(work, {"README": "second\n"})
        self.second = commit(work, "two", COMMIT_TIME + 1000)
        git("tag", "v2", cwd=work)
        git("update-ref", "refs/pull/7/head", self.first, cwd=work)
        self.serve(work, "repo.git")

    def serve(self, work: str, name: str) -> None:
        git("clone", "-q", "--mirror", work, str(self.root / name))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("git")
    with FileServer(str(root)) as http, git_daemon(str(root)) as daemon:
        made = Site(root, http, daemon)
        made.make()
        yield made


@pytest.fixture(scope="module")
def access(site: Site) -> GitAccess:
    """Its mirrors fill up as the tests go, which must not matter to them."""
    return GitAccess(cache_dir=str(site.root / "cache"), secret=lambda _: None)


@pytest.fixture
def fresh(tmp_path: Path) -> GitAccess:
    return GitAccess(cache_dir=str(tmp_path / "cache"), secret=lambda _: None)


def commit(work: str, message: str, time: int = COMMIT_TIME) -> str:
    git("add", "-A", cwd=work)
    git("commit", "-q", "-m", message, cwd=work, time=time)
    return git("rev-parse", "HEAD", cwd=work)


def _write(folder: str, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def checkout(op: SourceGit, access: GitAccess, target: Path) -> dict[str, str]:
    target.mkdir(mode=0o700)
    fetch_git(op, resolve_git(op, access), str(target), access)
    return listing(target)


def listing(tree: Path) -> dict[str, str]:
    """Kind, mode and text of everything in a tree but what is in a .git folder."""
    found = {}
    for folder, folders, files in os.walk(tree):
        if ".git" in folders:
            folders.remove(".git")
        for name in (*folders, *files):
            path = Path(folder, name)
            found[str(path.relative_to(tree))] = _describe(path)
    return found


def _describe(path: Path) -> str:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return f"l {os.readlink(path)}"
    return f"d {mode & 0o7777:o}" if stat.S_ISDIR(mode) else f"f {mode & 0o7777:o} {path.read_text().strip()}"


# -- which commit a reference is ---------------------------------------------------------------------------------


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


# -- the files -----------------------------------------------------------------------------------------------------


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
    _write(work, {"a": "a"})
    sha = commit(work, "one")
    site.serve(work, "long.git")
    for name, keep in (("plain", False), ("kept", True)):
        op = SourceGit(remote=f"{site.base}/long.git", ref=sha if keep else "", keep_git_dir=keep)
        assert checkout(op, access, tmp_path / name) == {"a": "f 644 a"}


# -- submodules ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nested(site: Site) -> str:
    """A repository with a submodule, by a relative URL, that has one itself."""
    for name, child in (("leaf", ""), ("middle", "leaf"), ("top", "middle")):
        work = str(site.root / f"{name}-work")
        git("init", "-q", "-b", "main", work)
        _write(work, {name: name})
        if child:
            git("submodule", "--quiet", "add", str(site.root / f"{child}.git"), f"sub/{child}", cwd=work)
            git("config", "-f", ".gitmodules", f"submodule.sub/{child}.url", f"../{child}.git", cwd=work)
        commit(work, "one")
        site.serve(work, f"{name}.git")
    return f"{site.base}/top.git"


def test_submodules(nested: str, access: GitAccess, tmp_path: Path) -> None:
    files = checkout(SourceGit(remote=nested), access, tmp_path / "out")
    assert files["sub/middle/sub/leaf/leaf"] == "f 644 leaf"
    assert files["sub/middle/.git"] == "f 644 gitdir: ../../.git/modules/sub/middle"
    assert files["sub/middle/sub/leaf/.git"] == (
        "f 644 gitdir: ../../../../.git/modules/sub/middle/modules/sub/leaf")
    assert not (tmp_path / "out" / ".git").exists()


def test_submodules_with_a_kept_git_dir(nested: str, access: GitAccess, tmp_path: Path) -> None:
    out = tmp_path / "out"
    checkout(SourceGit(remote=nested, keep_git_dir=True), access, out)
    assert git("submodule", "status", "--recursive", cwd=str(out)).count("\n") == 1
    assert git("status", "--porcelain", cwd=str(out / "sub" / "middle")) == ""


def test_submodules_left_out(nested: str, access: GitAccess, tmp_path: Path) -> None:
    files = checkout(SourceGit(remote=nested, submodules=False), access, tmp_path / "out")
    assert {"top", ".gitmodules", "sub", "sub/middle"} == set(files)


@pytest.mark.parametrize("kind", ["file://{root}/repo.git", "{root}/repo.git", "ext::sh -c 'touch {root}/x'"])
def test_submodules_do_not_reach_this_machine(site: Site, access: GitAccess, tmp_path: Path, kind: str) -> None:
    url = kind.format(root=site.root)
    work = str(tmp_path / "work")
    git("init", "-q", "-b", "main", work)
    os.mkdir(f"{work}/s")
    _write(work, {".gitmodules": f'[submodule "s"]\n\tpath = s\n\turl = {url}\n'})
    git("update-index", "--add", "--cacheinfo", f"160000,{site.first},s", cwd=work)
    commit(work, "hostile")
    name = f"hostile-{url.partition(':')[0].replace('/', '-')}.git"
    site.serve(work, name)
    with pytest.raises(GitFailed) as error:
        checkout(SourceGit(remote=f"{site.base}/{name}"), access, tmp_path / "out")
    assert "not allowed" in (error.value.cause or "")
    assert not (site.root / "x").exists()


# -- access --------------------------------------------------------------------------------------------------------

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
