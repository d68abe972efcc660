"""ADD from URLs and git repositories: the source vertices that the words name."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import unquote, urlsplit

from builder.language.instructions import Add, Copy
from builder.plan.errors import PlanError
from builder.plan.gitref import GitRef, parse_git_ref
from builder.plan.vertices import SourceGit, SourceHttp

_CHECKSUM = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}")


def remote_source(instruction: Add | Copy, path: str, checksum: str) -> SourceGit | SourceHttp | None:
    """The source that a word of ADD names; None for files of the context. Raises PlanError."""
    git = parse_git_ref(path)
    if git is not None and not git.local_like:
        return _git_source(instruction, git, checksum)
    if path.startswith(("http://", "https://")):
        return _http_source(instruction, path, checksum)
    return None


def _git_source(instruction: Add | Copy, ref: GitRef, checksum: str) -> SourceGit:
    if not isinstance(instruction, Add):
        raise PlanError("source can't be a git ref for COPY", hint="ADD can fetch it")
    keep = instruction.keep_git_dir
    if None not in (keep, ref.keep_git_dir) and keep != ref.keep_git_dir:
        raise PlanError("inconsistent keep-git-dir configuration")
    if checksum and ref.checksum and checksum != ref.checksum:
        raise PlanError(f'checksum mismatch "{checksum}" != "{ref.checksum}"')
    return SourceGit(
        remote=ref.remote, ref=ref.ref, subdir=ref.subdir, checksum=ref.checksum or checksum,
        keep_git_dir=bool(ref.keep_git_dir if ref.keep_git_dir is not None else keep),
        submodules=ref.submodules is not False, mtime=ref.mtime, fetch_by_commit=ref.fetch_by_commit)


def _http_source(instruction: Add | Copy, url: str, checksum: str) -> SourceHttp:
    if not isinstance(instruction, Add):
        raise PlanError("source can't be a URL for COPY", hint="ADD can fetch it")
    name = posixpath.basename(unquote(urlsplit(url).path).rstrip("/"))
    if checksum and not _CHECKSUM.fullmatch(checksum):
        raise PlanError(f"invalid checksum digest format: {checksum}")
    return SourceHttp(url=url, filename=name if name not in {"", "."} else "__unnamed__", checksum=checksum)
