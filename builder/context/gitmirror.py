"""Mirrors: for each remote one bare repository in the cache folder, which only ever gains objects.

Fetching holds the mirror's lock; reading needs none. A process that dies leaves at most lock files and a half-made
folder that nothing looks at.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
import threading
from collections.abc import Iterator

from builder.context.gitprogram import Git, GitFailed
from builder.errors import Cancelled, ContextError
from builder.rooted.removing import remove_path

_LOCK_PAUSE = 0.05


class CommitGone(ContextError):
    """The remote does not hand out the commit (any more)."""

    code = "git-commit"

    def __init__(self, name: str, object_id: str, remote: str) -> None:
        super().__init__(f"fetched ref {name} does not match expected commit {object_id} and commit can not be found "
                         "in the repository", notes=(f"repository: {remote}",))


class MirrorForeign(ContextError):
    code = "git-mirror-foreign"

    def __init__(self, path: str) -> None:
        super().__init__(f"cannot trust the git mirror `{path}`", cause="another user made it",
                         hint=f"remove `{path}`; it is fetched again")


class Mirror:
    """The mirror of `remote`; `shown` is the remote without its credentials."""

    def __init__(self, git: Git, cache_dir: str, remote: str, *, shown: str, sha256: bool,
                 cancelled: threading.Event | None) -> None:
        import hashlib

        self._git, self._cache_dir, self._remote, self._shown = git, cache_dir, remote, shown
        self._format = "sha256" if sha256 else "sha1"
        self._cancelled = cancelled
        name = hashlib.sha256(remote.encode(errors="surrogateescape")).hexdigest()[:32]
        self.path = os.path.join(cache_dir, f"{name}-{self._format}.git")

    def fetch(self, object_id: str, ref: str) -> None:
        """Makes sure that a commit or tag is here with all its files; `ref` is a ref that may lead to it, or "".

        Raises CommitGone, GitFailed, MirrorForeign.
        """
        with self._locked():
            if not os.path.lexists(self.path):
                self._create()
            self._settle()
            if self._has(object_id):
                return
            target = f"refs/builder/{object_id}"
            self._remove_stale_locks(target)
            if not self._fetch_shallow(object_id, ref, target):
                self._fetch_everything()
                if not self._has(object_id):
                    raise CommitGone(ref or object_id, object_id, self._shown)

    def _fetch_shallow(self, object_id: str, ref: str, target: str) -> bool:
        for source in filter(None, (ref, object_id)):  # by id when the ref has moved on since it was asked for
            with _refusals("shallow", "--depth", "not our ref", "unadvertised object"):
                self._run("--depth=1", "--no-tags", "origin", f"+{source}:{target}")
            if self._has(object_id):
                return True
        return False

    def _fetch_everything(self) -> None:
        """For servers that hand out nothing but the tips of refs, or know nothing of shallow clones."""
        is_shallow = os.path.exists(os.path.join(self.path, "shallow"))
        self._run(*(("--unshallow",) if is_shallow else ()), "--no-tags", "origin",
                  "+refs/heads/*:refs/remote/heads/*", "+refs/tags/*:refs/remote/tags/*")

    def _run(self, *args: str) -> None:
        self._git.run(f"fetch remote {self._shown}", "fetch", "--quiet", *args, git_dir=self.path,
                      config={"remote.origin.url": self._remote})

    def _has(self, object_id: str) -> bool:
        try:
            self._git.run("find the commit", "cat-file", "-e", f"{object_id}^{{commit}}", git_dir=self.path)
        except GitFailed:
            return False
        return True

    def _create(self) -> None:
        staging = tempfile.mkdtemp(prefix="new-", dir=self._cache_dir)
        try:
            self._git.run("make a mirror", "init", "--quiet", "--bare", "--template=",
                          f"--object-format={self._format}", git_dir=staging)
            os.rename(staging, self.path)
        finally:
            remove_path(staging)

    def _settle(self) -> None:
        """Gives the mirror the configuration that it has to have: what stands there can name programs for git to run.

        Raises MirrorForeign for one that somebody else made.
        """
        status = os.lstat(self.path)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            raise MirrorForeign(self.path)
        version, extensions = (1, "[extensions]\n\tobjectFormat = sha256\n") if self._format == "sha256" else (0, "")
        wanted = f"[core]\n\trepositoryformatversion = {version}\n\tbare = true\n{extensions}".encode()
        path = os.path.join(self.path, "config")
        if _read(path, len(wanted) + 1) != wanted:
            scratch = f"{path}.{os.urandom(6).hex()}"
            fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(fd, "wb") as file:
                file.write(wanted)
            os.rename(scratch, path)

    def _remove_stale_locks(self, ref: str) -> None:
        """The holder of the mirror's lock is alone: git's own locks were left by a process that died."""
        for name in ("shallow.lock", "packed-refs.lock", f"{ref}.lock"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.path, name))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        fd = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._wait(fd)
            yield
        finally:
            os.close(fd)

    def _wait(self, fd: int) -> None:
        operation = fcntl.LOCK_EX if self._cancelled is None else fcntl.LOCK_EX | fcntl.LOCK_NB
        while True:
            try:
                fcntl.flock(fd, operation)
                return
            except BlockingIOError:
                if self._cancelled is not None and self._cancelled.wait(_LOCK_PAUSE):
                    raise Cancelled("cancelled while another build was fetching the repository") from None


def _read(path: str, size: int) -> bytes:
    """The first `size` bytes of a file; b"" for a link or where there is nothing."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, size)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _refusals(*reasons: str) -> Iterator[None]:
    """Passes over failures for one of these reasons: there is another way to ask."""
    try:
        yield
    except GitFailed as error:
        if not any(reason in error.stderr for reason in reasons):
            raise
