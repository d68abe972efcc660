"""Contexts that are not on this machine: `builder build URL` and `--build-context name=URL`."""

from __future__ import annotations

import os
import shutil
from typing import BinaryIO, Protocol, TypeAlias

import msgspec

from builder.context.git import GitAccess, fetch_git, resolve_git
from builder.context.httpsource import HttpAccess, HttpFile, Status, fetch_http
from builder.context.local import LocalContext
from builder.context.objectstore import ObjectLocation, fetch_object
from builder.context.stdin import Replayed, is_archive_start
from builder.plan.gitref import parse_git_ref
from builder.plan.vertices import SourceGit, SourceHttp

HTTP_FILENAME = "context"
"""The name of the one file that a context over HTTP is."""

_HEAD = 512

RemoteSource: TypeAlias = SourceGit | SourceHttp | ObjectLocation


class RemoteContext(msgspec.Struct, frozen=True, kw_only=True):
    """What came with the files of a context."""

    dockerfile: str | None = None
    """The name of the Dockerfile where the context settles it: a file that is no archive is the Dockerfile, and the
    whole context."""
    time: int | None = None
    """Of the commit, the server's Last-Modified, or else the newest file of the archive, in seconds
    (SOURCE_DATE_EPOCH=context)."""


class DownloadMemory(Protocol):
    """Keeps one download for the next build."""

    def earlier(self) -> HttpFile | None: ...

    def open(self, file: HttpFile) -> BinaryIO:
        """The bytes of what `earlier` returned."""
        ...

    def keep(self, file: HttpFile, path: str) -> None: ...


def remote_source(text: str, *, keep_git_dir: bool = False,
                  commit_times: bool = False) -> SourceGit | SourceHttp | None:
    """The source that a context written as `text` is; None for a path of this machine.

    A git context keeps its .git if the URL or `keep_git_dir` (BUILDKIT_CONTEXT_KEEP_GIT_DIR) says so. Its files have
    the commit's time with `commit_times` (set when there is a SOURCE_DATE_EPOCH) unless the URL says otherwise. Raises
    InvalidGitRef.
    """
    git = parse_git_ref(text)
    if git is not None:
        return SourceGit(
            remote=git.remote, ref=git.ref, subdir=git.subdir, checksum=git.checksum,
            keep_git_dir=keep_git_dir or bool(git.keep_git_dir), submodules=git.submodules is not False,
            mtime=git.mtime or ("commit" if commit_times else ""), fetch_by_commit=git.fetch_by_commit)
    if text.startswith(("http://", "https://")):
        return SourceHttp(url=text, filename=HTTP_FILENAME)
    return None


def open_remote_context(source: RemoteSource, target_dir: str, *, git: GitAccess, http: HttpAccess,
                        memory: DownloadMemory | None = None) -> RemoteContext:
    """Fills the empty `target_dir` with a build context.

    With `memory` a server that has the same file still is not asked to send it again. Raises what fetch_git, fetch_http
    and fetch_object raise, and what unpacking an archive raises.
    """
    match source:
        case SourceGit():
            return RemoteContext(time=fetch_git(source, resolve_git(source, git), target_dir, git).commit_time)
        case ObjectLocation():
            path = os.path.join(target_dir, HTTP_FILENAME)
            fetch_object(source, path)
            with open(path, "rb") as stream:
                return _opened(stream, target_dir)
        case SourceHttp():
            return _open_http(source, target_dir, http, memory)


def _open_http(source: SourceHttp, target_dir: str, http: HttpAccess, memory: DownloadMemory | None) -> RemoteContext:
    file = fetch_http(source, target_dir, http, earlier=memory.earlier() if memory is not None else None)
    path = os.path.join(target_dir, file.filename)
    if file.status is Status.UNCHANGED:
        assert memory is not None
        with memory.open(file) as stream:
            context = _opened(stream, target_dir)
    else:
        if memory is not None:
            memory.keep(file, path)
        with open(path, "rb") as stream:
            context = _opened(stream, target_dir)
    return msgspec.structs.replace(context, time=file.mtime) if file.last_modified else context


def _opened(stream: BinaryIO, target_dir: str) -> RemoteContext:
    """The context that the file `stream` holds: its name in `target_dir` is free, or taken by the file itself."""
    path = os.path.join(target_dir, HTTP_FILENAME)
    start = stream.read(_HEAD)
    if not is_archive_start(start):
        if not os.path.exists(path):
            with open(path, "wb") as file:
                file.write(start)
                shutil.copyfileobj(stream, file)
        return RemoteContext(dockerfile=HTTP_FILENAME)
    from builder.layer.archive import unpack_context

    if os.path.exists(path):
        os.unlink(path)  # an entry of the archive may have this name
    unpack_context(Replayed(start, stream), target_dir)
    return RemoteContext(time=_latest(target_dir))


def _latest(folder: str) -> int | None:
    """The time of the newest file, in seconds."""
    times = [entry.stat.st_mtime_ns for entry in LocalContext(folder).walk("") if not entry.is_dir]
    return max(times) // 10**9 if times else None
