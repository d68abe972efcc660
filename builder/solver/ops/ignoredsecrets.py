"""Files that git ignores, that look like secrets, and that a COPY takes into a layer all the same."""

from __future__ import annotations

import time
from collections.abc import Iterator

from builder.context.local import LocalContext
from builder.language.ignore import line_for
from builder.layer.taken import Taken
from builder.layer.tree import shown
from builder.plan.vertices import Vertex
from builder.solver import events
from builder.solver.lineage import instruction_of
from builder.solver.ops.executor import OpExecutor
from builder.solver.ops.file import CopyExecutor

_NAMES = frozenset({
    ".env", ".envrc", ".git-credentials", ".htpasswd", ".netrc", ".npmrc", ".pgpass", ".pypirc", "credentials.json",
    "id_dsa", "id_ecdsa", "id_ed25519", "id_rsa", "secrets.yaml", "secrets.yml", "service-account.json"})
_ENDS = (".pem", ".key", ".p12", ".pfx", ".jks", ".keystore", "/.aws/credentials", "/.docker/config.json",
         "/.kube/config")
_MAYBE = (*_NAMES, *(end.removeprefix("/") for end in _ENDS))
"""One look at a path settles it for nearly all of a large context."""
_EXAMPLES = (".example", ".sample", ".template", ".dist")
_MOST_NAMED = 5


def warn_of_secrets(executor: OpExecutor, vertex: Vertex, number: int, emit: events.Emit) -> None:
    """Of those that the COPY or ADD `vertex` is about to take."""
    for text in _ignored_secrets(executor.taken) if isinstance(executor, CopyExecutor) else ():
        emit(events.WarningRaised(
            time=time.time(), rule="IgnoredSecretCopied", vertex=number, location=vertex.location,
            description="What git ignores is seldom meant for an image; a step has a secret by RUN --mount=type=secret",
            message=f"{instruction_of(vertex)}: {text}"))


def _ignored_secrets(taken: Taken) -> list[str]:
    """A sentence for each, the first few. Contexts on this machine alone have a work tree behind them."""
    found = [path for tree, paths in _looking_secret(taken) for path in _ignored(tree, paths)]
    more = len(found) - _MOST_NAMED
    return found[:_MOST_NAMED] + ([f"{more} more files that git ignores look like secrets"] if more > 0 else [])


def _looking_secret(taken: Taken) -> Iterator[tuple[LocalContext, list[str]]]:
    for tree, matches in zip(taken.trees, taken.matches, strict=True):
        if isinstance(tree, LocalContext) and tree.root_owned:
            paths = [entry.path for match in matches
                     for entry in (match.entry, *(selected.entry for selected in match.contents))
                     if entry.path.endswith(_MAYBE) or ".env." in entry.path
                     if _looks_secret(entry.path) and not entry.is_dir]
            if paths:
                yield tree, paths


def _looks_secret(path: str) -> bool:
    name = path[path.rfind("/") + 1:]
    return (name in _NAMES or f"/{path}".endswith(_ENDS)
            or (name.startswith(".env.") and not name.endswith(_EXAMPLES)))


def _ignored(tree: LocalContext, paths: list[str]) -> Iterator[str]:
    from builder.context.gitignore import GitIgnore

    try:
        ignore = GitIgnore(tree.root)
    except OSError:
        return
    file = tree.rules.name if tree.rules is not None else ".dockerignore"
    for path in paths:
        if ignore.ignores(path):
            yield (f"git ignores `{shown(path)}`, which looks like a secret and is now in a layer: "
                   f"to leave it out, add the line `{shown(line_for(path))}` to {file}")
