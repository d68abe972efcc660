"""What a solved vertex is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from builder.layer.tree import FileTree
from builder.store.layers import LayerId


class Snapshot(msgspec.Struct, frozen=True):
    """A file system: layers, bottom first. Equal layer ids mean equal content, so this is also its identity."""

    layers: tuple[LayerId, ...] = ()


class LocalFiles(msgspec.Struct, frozen=True):
    """A tree of the host, read in place: the build context or a named one. It has no identity of its own."""

    name: str
    tree: FileTree


Result: TypeAlias = Snapshot | LocalFiles


def image_of(output: int | None, results: Mapping[int, Result]) -> Snapshot:
    """The file system of a plan's image."""
    if output is None:
        return Snapshot()
    result = results[output]
    assert isinstance(result, Snapshot), "the planner gives local trees a layer"
    return result
