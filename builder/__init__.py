"""Builds OCI images from Dockerfiles; `builder.build(...)` is the door (see `builder.api`).

This module does no work when imported: `builder --version` and a no-op build pay for every import made here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from builder.version import __version__ as __version__

if TYPE_CHECKING:
    from builder.api import Builder as Builder
    from builder.api import BuildOptions as BuildOptions
    from builder.api import BuildResult as BuildResult
    from builder.api import build as build
    from builder.errors import BuilderError as BuilderError

__all__ = ["BuildOptions", "BuildResult", "Builder", "BuilderError", "__version__", "build"]


def __getattr__(name: str) -> Any:
    if name == "BuilderError":
        from builder.errors import BuilderError

        return BuilderError
    if name in __all__:
        from builder import api

        return getattr(api, name)
    raise AttributeError(f"module 'builder' has no attribute {name!r}")
