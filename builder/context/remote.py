"""Contexts that are not on this machine: `builder build URL` and `--build-context name=URL`."""

from __future__ import annotations

from builder.plan.gitref import parse_git_ref
from builder.plan.vertices import SourceGit, SourceHttp

HTTP_FILENAME = "context"
"""The name of the one file that a context over HTTP is."""
HEAD_SIZE = 1024
"""How much of that file `is_archive` wants to see."""

_MAGIC = (b"BZh", b"\x1f\x8b\x08", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
_BLOCK = 512
_CHECKSUM = slice(148, 156)


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


def is_archive(head: bytes) -> bool:
    """Whether a build context that came over HTTP is a tar, judged by its first HEAD_SIZE bytes.

    If it is, its entries are the context. If not, the file is the Dockerfile, and the context holds nothing else.
    """
    return head.startswith(_MAGIC) or _is_tar_header(head[:_BLOCK])


def _is_tar_header(block: bytes) -> bool:
    """By the header's checksum: the oldest tars have no magic."""
    field = block[_CHECKSUM].strip(b" \x00")
    if len(block) < _BLOCK or not any(block) or not field or any(byte not in b"01234567" for byte in field):
        return False
    return sum(block) - sum(block[_CHECKSUM]) + 8 * ord(" ") == int(field, 8)
