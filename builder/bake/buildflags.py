"""A target as the flags of `builder build` that mean the same: one set of rules says what values make sense."""

from __future__ import annotations

import os
from collections.abc import Iterator

from builder.bake.errors import BakeError
from builder.bake.remotefiles import is_remote
from builder.bake.target import Target


class StdinNotAllowed(BakeError):
    code = "bake-stdin"

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} from stdin not allowed in bake")


class NulByte(BakeError):
    code = "bake-nul-byte"

    def __init__(self, name: str, value: str) -> None:
        shown = value.replace("\0", "\\0")
        super().__init__(f"`{shown[:100]}` of {name} holds a NUL byte, which ends every path, argument and variable")


def check_values(target: Target) -> None:
    """Raises StdinNotAllowed, and NulByte for what no path or argument can be."""
    for name, value in (("context", target.context or ""), *flags_of(target)):
        if "\0" in value:
            raise NulByte(name, value)


def flags_of(target: Target) -> Iterator[tuple[str, str]]:
    """Names and values, but for the context and `dockerfile-inline`. Raises StdinNotAllowed."""
    if target.context == "-":
        raise StdinNotAllowed("context")
    if target.dockerfile == "-":
        raise StdinNotAllowed("dockerfile")
    if target.dockerfile_inline is None:
        yield "file", dockerfile_path(target)
    for name, values in (
            ("tag", target.tags), ("platform", target.platforms), ("no-cache-filter", target.no_cache_filter),
            ("ulimit", target.ulimits), ("annotation", target.annotations), ("allow", target.entitlements)):
        for value in values or ():
            yield name, value
    for name, pairs in (("build-arg", target.args), ("label", target.labels), ("add-host", target.extra_hosts),
                        ("build-context", target.contexts)):
        for key, value in sorted(pairs.items()):
            yield name, f"{key}={value.removeprefix('cwd://') if name == 'build-context' else value}"
    for name, entries in (("cache-from", target.cache_from), ("cache-to", target.cache_to), ("secret", target.secrets),
                          ("ssh", target.ssh), ("output", target.outputs), ("attest", target.attest)):
        for entry in entries or ():
            yield name, entry.text
    for name, text in (("target", target.target), ("network", target.network), ("shm-size", target.shm_size)):
        if text:
            yield name, text
    for name, flag in (("pull", target.pull), ("no-cache", target.no_cache)):
        if flag:
            yield name, "true"


def dockerfile_path(target: Target) -> str:
    """Where the Dockerfile is: relative to the context, or to the working directory where it says `cwd://`."""
    context, name = target.context or ".", target.dockerfile or "Dockerfile"
    if name.startswith("cwd://"):
        return os.path.abspath(name.removeprefix("cwd://"))
    if is_remote(context) or os.path.isabs(name):
        return name
    return os.path.normpath(os.path.join(context, name))
