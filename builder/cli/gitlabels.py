"""BUILDX_GIT_LABELS: labels that say which commit of which repository a local context is, as buildx gives them."""

from __future__ import annotations

import os
from collections.abc import Mapping

from builder.errors import UsageError
from builder.golang.bool import parse_bool

_REVISION, _SOURCE = "org.opencontainers.image.revision", "org.opencontainers.image.source"
_ENTRYPOINT = "com.docker.image.source.entrypoint"


def git_labels(context: str, dockerfile: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Nothing unless BUILDX_GIT_LABELS asks for it and the context is in a git work tree.

    With BUILDX_GIT_CHECK_DIRTY the commit of a changed work tree gets `-dirty`. Raises UsageError.
    """
    wanted = environment.get("BUILDX_GIT_LABELS", "")
    if not (wanted == "full" or _is_on("BUILDX_GIT_LABELS", wanted)) or not os.path.isdir(context):
        return {}
    root = _git(context, "rev-parse", "--show-toplevel")
    if not root:
        return {}
    labels = {}
    commit = _git(context, "rev-parse", "--verify", "-q", "HEAD")
    if commit:
        checks = _is_on("BUILDX_GIT_CHECK_DIRTY", environment.get("BUILDX_GIT_CHECK_DIRTY", ""))
        is_dirty = checks and _git(context, "status", "--porcelain", "--ignored") != ""
        labels[_REVISION] = f"{commit}-dirty" if is_dirty else commit
    remote = _git(context, "remote", "get-url", "origin") or _git(context, "remote", "get-url", "upstream")
    if remote:
        labels[_SOURCE] = _without_password(remote)
    path = os.path.relpath(os.path.realpath(dockerfile or os.path.join(context, "Dockerfile")), os.path.realpath(root))
    if not path.startswith(".."):
        labels[_ENTRYPOINT] = path
    return labels


def _is_on(name: str, text: str) -> bool:
    try:
        return bool(text) and parse_bool(text)
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None


def _git(folder: str, *args: str) -> str:
    """What git prints, or "" where it fails or is not there."""
    import subprocess

    try:
        done = subprocess.run(["git", "-C", folder, *args], capture_output=True, text=True, errors="replace")
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _without_password(remote: str) -> str:
    scheme, separator, rest = remote.partition("://")
    if not separator:
        return remote
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
