"""Builds OCI images from Dockerfiles; `builder.build(...)` is the door (see `builder.api`).

This module does no work when imported: `builder --version` and a no-op build pay for every import made here.
"""

from __future__ import annotations

import sys
from types import ModuleType
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


class _Package(ModuleType):
    """`builder.build` is the function, also once a file of the folder of that name is imported."""

    @property
    def build(self) -> Any:
        from builder import api

        return api.build

    @build.setter
    def build(self, module: ModuleType) -> None:
        """Called by the import of the folder, which is found in sys.modules all the same."""


sys.modules[__name__].__class__ = _Package
