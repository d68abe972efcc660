"""Named points on the way of a commit, where a test may stop or kill the process: `trace.hook = ...`."""

from __future__ import annotations

from collections.abc import Callable

hook: Callable[[str], None] | None = None


def point(name: str) -> None:
    if hook is not None:
        hook(name)
