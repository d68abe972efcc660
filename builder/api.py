"""What `import builder` offers, and the one place that wires the rooms together.

    import builder

    result = builder.build(builder.BuildOptions(context=".", tags=("app:dev",)))
    print(result.digest)

A Builder holds the open store and the sandbox; `build` is the shorthand that opens one for one build.
"""

from __future__ import annotations

import os
from types import TracebackType

from builder.build.options import BuildOptions, BuildResult, SecretSource, SshSource
from builder.engine.events import AnyEvent, Emit, WarningRaised
from builder.errors import BuilderError


class Builder:
    """An open state folder and a sandbox. A context manager; usable from several threads."""

    def __init__(self, root: str | None = None, *, runtime: str = "builtin") -> None:
        self.root = root or default_root()
        self.runtime = runtime

    def __enter__(self) -> Builder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends running steps and closes the store. Idempotent."""

    def build(self, options: BuildOptions, on_event: Emit | None = None) -> BuildResult:
        """Builds and exports. Raises BuilderError; what had been built before stays in the cache."""
        raise NotImplementedError

    def print_build(self, options: BuildOptions, what: str) -> str:
        """The value between two rooms as text: `ast`, `plan` or `keys`."""
        raise NotImplementedError

    def check(self, options: BuildOptions) -> tuple[WarningRaised, ...]:
        """The lint findings of the Dockerfile, in order of their place; nothing is built. Raises DockerfileErrors."""
        raise NotImplementedError


def build(options: BuildOptions, *, root: str | None = None, on_event: Emit | None = None) -> BuildResult:
    """Builds with a Builder of its own."""
    with Builder(root) as opened:
        return opened.build(options, on_event)


def default_root() -> str:
    """$BUILDER_ROOT, else /var/lib/builder for root, else $XDG_DATA_HOME/builder (~/.local/share/builder)."""
    if chosen := os.environ.get("BUILDER_ROOT"):
        return chosen
    if os.geteuid() == 0 and not os.environ.get("BUILDER_ROOTLESS"):
        return "/var/lib/builder"
    data = os.environ.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")
    return os.path.join(data, "builder")


__all__ = ["AnyEvent", "BuildOptions", "BuildResult", "Builder", "BuilderError", "SecretSource", "SshSource", "build",
           "default_root"]
