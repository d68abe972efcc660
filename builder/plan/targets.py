"""The stages that a build may have as its target, from the text alone."""

from __future__ import annotations

import msgspec

from builder.language.instructions import Dockerfile
from builder.source import Source, Span


class Target(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    """"" for a stage without AS, which only as the last one can be built."""
    description: str
    base: str
    """As written, as `platform` is: variables are not expanded."""
    platform: str
    is_default: bool
    span: Span


class Targets(msgspec.Struct, frozen=True):
    source: Source
    stages: tuple[Target, ...]
    """In order; the last is the default."""


def targets(dockerfile: Dockerfile) -> Targets:
    last = len(dockerfile.stages) - 1
    return Targets(dockerfile.source, tuple(
        Target(name=stage.base.name, description=stage.description, base=stage.base.image,
               platform=stage.base.platform, is_default=number == last, span=stage.statement.span)
        for number, stage in enumerate(dockerfile.stages)))
