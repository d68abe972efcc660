"""Git sources: which commit a reference is right now, and the files of a commit."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable

import msgspec

from builder.context.checkout import Checkout
from builder.context.gitmirror import Mirror
from builder.context.gitprogram import Git
from builder.errors import ContextError
from builder.golang.paths import clean_beneath
from builder.plan.url import split_url
from builder.plan.vertices import SourceGit

_HEAD_BRANCH = re.compile(r"^ref: (refs/heads/\S+)\tHEAD$", re.MULTILINE)
_HEAD_COMMIT = re.compile(r"^([0-9a-f]+)\tHEAD$", re.MULTILINE)
_COMMIT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})")
_HEX = re.compile(r"[0-9a-fA-F]+")
_GITHUB = ("https://github.com/", "https://www.github.com/")


class UnresolvedGitRef(ContextError):
    """The reference, the checksum or both do not name a commit of the remote."""

    code = "git-ref"


class SshNeeded(ContextError):
    code = "git-ssh"

    def __init__(self, remote: str) -> None:
        super().__init__(f"unset ssh forward key default: `{remote}` needs an ssh agent",
                         hint="pass `--ssh default`, with an agent that holds the key")


class GitAccess(msgspec.Struct, frozen=True, kw_only=True):
    """What it takes to reach remotes."""

    cache_dir: str
    """Holds the mirrors; made when missing. May be deleted whenever no build runs."""
    secret: Callable[[str], bytes | None]
    """The build secret with this id. Asked for GIT_AUTH_HEADER and GIT_AUTH_TOKEN, first with `.host` appended."""
    ssh_socket: str | None = None
    """Of the agent that was given for the id `default`."""
    cancelled: threading.Event | None = None


class GitRevision(msgspec.Struct, frozen=True, kw_only=True):
    """What a reference is right now."""

    ref: str
    """Full name, or "" when the source names a commit."""
    object: str
    """The commit, or the annotated tag."""
    commit: str


class GitCheckout(msgspec.Struct, frozen=True, kw_only=True):
    commit: str
    commit_time: int
    """Of its committer, in seconds."""


def resolve_git(op: SourceGit, access: GitAccess) -> GitRevision:
    """Asks the remote what `op.ref` is, without fetching anything; a full commit id needs no question.

    Raises UnresolvedGitRef, SshNeeded, and what Git.run raises.
    """
    if op.checksum and not _HEX.fullmatch(op.checksum):
        raise UnresolvedGitRef(f"invalid checksum {op.checksum} for Git URL, expected hex commit hash")
    if op.ref.startswith("-"):
        raise UnresolvedGitRef(f'invalid git ref "{op.ref}"')
    if _COMMIT.fullmatch(op.ref):
        if not op.ref.startswith(op.checksum):
            raise _mismatch(op.checksum, op.ref)
        return GitRevision(ref="", object=op.ref, commit=op.ref)
    if op.fetch_by_commit:
        return _trusted(op)
    git = _git(op, access)
    return _ask(op, git) if op.ref else _ask_default(op, git)


def git_key(op: SourceGit, revision: GitRevision) -> str:
    """Identifies the files that checking out `revision` for `op` writes, times of `mtime=checkout` aside.

    The remote is part of it only where it shows in the result: in a .git that is kept.
    """
    subdir = clean_beneath(op.subdir)
    key = revision.commit
    if op.keep_git_dir and not subdir:
        key = f"{revision.object}.git#{revision.ref}@{redacted(op.remote)}"
    key += f":{subdir}" if subdir else ""
    key += "" if op.submodules else "(skip-submodules)"
    return key + ("(mtime=commit)" if op.mtime == "commit" else "")


def fetch_git(op: SourceGit, revision: GitRevision, target_dir: str, access: GitAccess) -> GitCheckout:
    """Fills the empty `target_dir` with the files of `revision`.

    Modes are 0644, 0755 and 0755 for directories whatever the umask; links stay links. Raises CommitGone when the
    remote no longer has the commit, InvalidSubdir, SshNeeded, and what Git.run raises.
    """
    git = _git(op, access)
    shown = redacted(op.remote)
    mirror = Mirror(git, access.cache_dir, op.remote, shown=shown, sha256=len(revision.object) == 64,
                    cancelled=access.cancelled)
    mirror.fetch(revision.object, "" if op.fetch_by_commit else revision.ref)
    described = git.run("read the commit", "show", "-s", "--format=%H %ct", f"{revision.object}^{{commit}}", "--",
                        git_dir=mirror.path)
    commit, time = described.split()
    Checkout(git, op, mirror=mirror.path, object_id=revision.object, commit=commit, commit_time=int(time),
             ref=revision.ref, shown=shown).write(target_dir)
    return GitCheckout(commit=commit, commit_time=int(time))


def redacted(remote: str) -> str:
    """The remote without user name and password, for people and for files in the image."""
    url = split_url(remote) if "://" in remote else None
    if url is None or not url.userinfo:
        return remote
    mask = "xxxxx:xxxxx" if ":" in url.userinfo else "xxxxx"
    return msgspec.structs.replace(url, userinfo=mask).address


def _trusted(op: SourceGit) -> GitRevision:
    if not op.checksum:
        raise UnresolvedGitRef("fetch-by-commit requires a checksum or a commit SHA ref")
    if not _COMMIT.fullmatch(op.checksum):
        raise UnresolvedGitRef(f'fetch-by-commit requires a full commit SHA checksum, got "{op.checksum}"')
    ref = op.ref if not op.ref or op.ref.startswith("refs/") else f"refs/heads/{op.ref}"
    return GitRevision(ref=ref, object=op.checksum, commit=op.checksum)


def _ask_default(op: SourceGit, git: Git) -> GitRevision:
    remote = redacted(op.remote)
    answer = git.run(f"fetch default branch for repository {remote}", "ls-remote", "--symref", "--", "origin", "HEAD",
                     config={"remote.origin.url": op.remote})
    branch, commit = _HEAD_BRANCH.search(answer), _HEAD_COMMIT.search(answer)
    if branch is None or commit is None:
        raise UnresolvedGitRef(f"could not find default branch for repository: {remote}")
    return _revision(op, branch[1], {branch[1]: commit[1]})


def _ask(op: SourceGit, git: Git) -> GitRevision:
    remote, ref = redacted(op.remote), op.ref
    answer = git.run(f"fetch remote {remote}", "ls-remote", "--", "origin", ref, f"{ref}^{{}}",
                     config={"remote.origin.url": op.remote})
    names = {name: sha for sha, _, name in (line.partition("\t") for line in answer.splitlines())}
    # as `git checkout` has it: branches before tags of the same name
    candidates = (f"refs/{ref.removeprefix('refs/')}", f"refs/heads/{ref.removeprefix('refs/heads/')}",
                  f"refs/tags/{ref.removeprefix('refs/tags/')}")
    found = next((name for name in candidates if name in names), None)
    if found is None:
        raise UnresolvedGitRef(f"repository does not contain ref {ref}", notes=(f"repository: {remote}",))
    return _revision(op, found, names)


def _revision(op: SourceGit, ref: str, names: dict[str, str]) -> GitRevision:
    object_id = names[ref]
    commit = names.get(f"{ref}^{{}}", object_id)
    for sha in (object_id, commit):
        if not _COMMIT.fullmatch(sha):
            raise UnresolvedGitRef(f'invalid commit sha "{sha}"')
    if not object_id.startswith(op.checksum) and not commit.startswith(op.checksum):
        raise _mismatch(op.checksum, " or ".join(dict.fromkeys((object_id, commit))))
    return GitRevision(ref=ref, object=object_id, commit=commit)


def _mismatch(expected: str, actual: str) -> UnresolvedGitRef:
    return UnresolvedGitRef(f"expected checksum to match {expected}, got {actual}")


def _git(op: SourceGit, access: GitAccess) -> Git:
    os.makedirs(access.cache_dir, mode=0o700, exist_ok=True)
    is_http = op.remote.startswith(("http://", "https://"))
    is_ssh = not is_http and not op.remote.startswith("git://")
    if is_ssh and not access.ssh_socket:
        raise SshNeeded(redacted(op.remote))
    return Git(config=_authorization(op.remote, access.secret) if is_http else {}, ssh_socket=access.ssh_socket,
               known_hosts=os.path.join(access.cache_dir, "known_hosts"), cancelled=access.cancelled)


def _authorization(remote: str, secret: Callable[[str], bytes | None]) -> dict[str, str]:
    """The header for this remote only; for GitHub, for all of GitHub, so that submodules there work too."""
    url = split_url(remote)
    host = url.host if url else ""
    for name in (f"GIT_AUTH_HEADER.{host}", f"GIT_AUTH_TOKEN.{host}", "GIT_AUTH_HEADER", "GIT_AUTH_TOKEN"):
        value = secret(name)
        if value is None:
            continue
        text = value.decode(errors="replace").rstrip("\r\n")
        if name.startswith("GIT_AUTH_TOKEN"):
            import base64

            text = "basic " + base64.b64encode(f"x-access-token:{text}".encode()).decode()
        scope = next((prefix for prefix in _GITHUB if remote.startswith(prefix)), remote)
        return {f"http.{scope}.extraheader": f"Authorization: {text}"}
    return {}
