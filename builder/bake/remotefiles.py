"""Definitions that are not on this machine: `builder bake URL [CONTEXT-URL] [TARGET...]`.

What such a definition calls `./app` is a folder beside it, at the URL; `cwd://` is the caller's working directory.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

import msgspec

from builder.bake.errors import BakeError
from builder.plan.gitref import parse_git_ref

LOCAL = "cwd://"
_SPECIAL = ("target:", "docker-image:", "oci-layout://", LOCAL)


class NoFolders(BakeError):
    code = "bake-remote"

    def __init__(self, url: str, path: str) -> None:
        super().__init__(f"`{path}` cannot be reached at `{url}`", hint="only git repositories have folders")


class Place(msgspec.Struct, frozen=True):
    """Where a definition comes from."""

    url: str = ""
    """"" for this machine."""
    command_context: str = LOCAL
    """What the definition sees as BAKE_CMD_CONTEXT."""

    def context(self, path: str) -> str:
        """A context of the definition as a build takes it: a cleaned path, or a URL. Raises NoFolders."""
        if path.startswith(LOCAL):
            return posixpath.normpath(path.removeprefix(LOCAL) or ".")
        if is_remote(path):
            return path
        return self.named_context(posixpath.normpath(path or "."))

    def named_context(self, path: str) -> str:
        """The same for a value of `contexts`, which can also name targets and images."""
        if not self.url or is_remote(path) or path.startswith(_SPECIAL):
            return path
        folder = posixpath.normpath(path)
        return self.url if folder == "." else _with_folder(self.url, folder)


def is_remote(text: str) -> bool:
    """True for the URL of a git repository or of an HTTP server. Raises InvalidGitRef."""
    return text.startswith(("http://", "https://")) or parse_git_ref(text) is not None


def split_arguments(arguments: Sequence[str]) -> tuple[Place, tuple[str, ...]]:
    """The place of the definition, and the targets."""
    if not arguments or not is_remote(arguments[0]):
        return Place(), tuple(arguments)
    url, *targets = arguments
    if targets and is_remote(targets[0]):
        return Place(url, targets[0]), tuple(targets[1:])
    return Place(url), tuple(targets)


def _with_folder(url: str, folder: str) -> str:
    git = parse_git_ref(url)
    if git is None:
        raise NoFolders(url, folder)
    base, _, fragment = url.partition("#")
    return f"{base}#{fragment.partition(':')[0]}:{posixpath.normpath(posixpath.join(git.subdir, folder))}"
