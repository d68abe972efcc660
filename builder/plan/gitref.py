"""Git sources as ADD, build contexts and named contexts write them: `https://host/repo.git?key=value#ref:subdir`.

What counts as git: `git://`, `ssh://`, `user@host:path`, `http(s)://` whose path ends in `.git`, and `github.com/...`,
which looks like a local path and is therefore git only where no local path makes sense.
"""

from __future__ import annotations

import posixpath
import re

import msgspec

from builder.golang.bool import parse_bool
from builder.golang.quote import quote
from builder.plan.errors import PlanError
from builder.plan.url import split_query, split_url

_PROTOCOL = re.compile(r"[a-zA-Z0-9]+://")
_PROTOCOLS = frozenset({"http", "https", "ssh", "git"})
_SCP_STYLE = re.compile(r"([a-zA-Z0-9_-]+@[a-zA-Z0-9.-]+:[^\n]*?)(?:\?([^\n]*?))?(?:#([^\n]*))?")
_FLAGS = frozenset({"submodules", "keep-git-dir", "fetch-by-commit"})
_KEYS = _FLAGS | {"ref", "tag", "branch", "subdir", "checksum", "commit", "mtime"}

_Query = dict[str, list[str]]


class InvalidGitRef(PlanError):
    """The query of a git URL asks for what cannot be."""

    code = "git-ref"


class GitRef(msgspec.Struct, frozen=True, kw_only=True):
    remote: str
    """What git is given: without query and fragment."""
    ref: str = ""
    """A commit, branch, tag or full ref name; "" for the remote's HEAD."""
    subdir: str = ""
    """As written; may start with a slash."""
    checksum: str = ""
    """A commit, possibly abbreviated, that the source must be."""
    keep_git_dir: bool | None = None
    submodules: bool | None = None
    mtime: str = ""
    """"" (unsaid), `checkout` or `commit`."""
    fetch_by_commit: bool = False
    """Fetch `checksum` without asking the remote what `ref` is."""
    local_like: bool = False
    """Written `github.com/...`: a build context may be meant, but ADD and COPY read it as a local path."""


def parse_git_ref(text: str) -> GitRef | None:
    """The git source that `text` names; None if it is none: a local path, or a URL for plain HTTP.

    Raises InvalidGitRef for a git source whose query is wrong.
    """
    if text.startswith(("./", "../")):
        return None
    if _PROTOCOL.match(text) or text.startswith("github.com/"):
        return _from_url(text)
    if match := _SCP_STYLE.fullmatch(text):
        query = split_query(match[2] or "", strict=True)
        return None if query is None else _git_ref(GitRef(remote=match[1]), match[3] or "", query)
    return None


def _from_url(text: str) -> GitRef | None:
    url = split_url(text)
    if url is None:
        return None
    query = split_query(url.query) or {}
    if not url.scheme:
        return _git_ref(GitRef(remote=f"https://{url.raw_path}", local_like=True), url.fragment, query)
    if url.scheme not in _PROTOCOLS or (url.scheme in {"http", "https"} and not url.path.endswith(".git")):
        return None
    return _git_ref(GitRef(remote=url.address), url.fragment, query)


def _git_ref(bare: GitRef, fragment: str, query: _Query) -> GitRef:
    ref, _, subdir = fragment.partition(":")
    subdir = posixpath.normpath(f"/{subdir}").lstrip("/")
    values = {key: _single(key, given) for key, given in query.items()}
    mtime = values.get("mtime", "")
    if mtime not in {"", "checkout", "commit"}:
        raise InvalidGitRef(f'invalid mtime value: {quote(mtime)} (must be "checkout" or "commit")')
    return msgspec.structs.replace(
        bare,
        ref=_ref(ref, values),
        subdir=_agreed("subdir", subdir, values.get("subdir", "")),
        checksum=values.get("checksum") or values.get("commit", ""),
        keep_git_dir=_flag("keep-git-dir", values),
        submodules=_flag("submodules", values),
        mtime=mtime,
        fetch_by_commit=_flag("fetch-by-commit", values) or False,
    )


def _ref(fragment: str, values: dict[str, str]) -> str:
    if "tag" in values and "branch" in values:
        raise InvalidGitRef("branch conflicts with tag")
    ref = _agreed("ref", fragment, values.get("ref", ""))
    for key, prefix in (("tag", "refs/tags/"), ("branch", "refs/heads/")):
        if name := values.get(key):
            ref = _agreed("ref", ref, name if name.startswith(prefix) else prefix + name)
    return ref


def _single(key: str, given: list[str]) -> str:
    if len(given) > 1:
        raise InvalidGitRef(f"query {quote(key)} has multiple values")
    if given[0] == "" and key not in _FLAGS:
        raise InvalidGitRef(f"query {quote(key)} has no value")
    if key not in _KEYS:
        raise InvalidGitRef(f"unexpected query {quote(key)}")
    return given[0]


def _agreed(key: str, first: str, second: str) -> str:
    if first and second and first != second:
        raise InvalidGitRef(f"{key} conflicts: {quote(first)} vs {quote(second)}")
    return first or second


def _flag(key: str, values: dict[str, str]) -> bool | None:
    """A key without a value means yes."""
    value = values.get(key)
    if not value:
        return None if value is None else True
    try:
        return parse_bool(value)
    except ValueError:
        raise InvalidGitRef(f"invalid {key} value: {quote(value)}") from None
