"""Contexts that are not on this machine: `builder build URL` and `--build-context name=URL`."""

from __future__ import annotations

import os

from builder.context.git import GitAccess, fetch_git, resolve_git
from builder.context.http import HttpAccess, fetch_http
from builder.context.stdin import is_archive_start
from builder.plan.gitref import parse_git_ref
from builder.plan.vertices import SourceGit, SourceHttp

HTTP_FILENAME = "context"
"""The name of the one file that a context over HTTP is."""

_HEAD = 512


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


def open_remote_context(source: SourceGit | SourceHttp, target_dir: str, *, git: GitAccess,
                        http: HttpAccess) -> str | None:
    """Fills the empty `target_dir` with a build context.

    The result is the name of the Dockerfile where the context settles it: a URL whose content is no archive is the
    Dockerfile, and the whole context. None: look for one as in any directory. Raises what fetch_git and fetch_http
    raise, and what unpacking an archive raises.
    """
    if isinstance(source, SourceGit):
        fetch_git(source, resolve_git(source, git), target_dir, git)
        return None
    file = fetch_http(source, target_dir, http)
    path = os.path.join(target_dir, file.filename)
    with open(path, "rb") as stream:
        if not is_archive_start(stream.read(_HEAD)):
            return file.filename
        from builder.layer.archive import unpack_context

        os.unlink(path)  # an entry of the archive may have this name
        stream.seek(0)
        unpack_context(stream, target_dir)
    return None
