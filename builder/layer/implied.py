"""Directories that a layer passes through without describing them.

Many tools write no entries for parents. Such a directory gets owner, mode, extended attributes and time of the one that
the layers below have at its path, else `/tmp` would lose its mode. Which one that is follows containerd's `mkparent`
(pkg/archive/tar.go): the topmost layer that has the path decides, links are followed within that layer, and what is
hidden by an opaque directory still counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from builder.layer.extract import Extraction, OnChownError
from builder.layer.memberpaths import attributes_of
from builder.layer.resolution import TooManyLinks, canonical
from builder.layer.tree import Entry
from builder.layer.view import MergedView


def inherit_attributes(
    layer_dir: str, implied: Iterable[str], below: Sequence[str], *, on_chown_error: OnChownError = "raise"
) -> None:
    """Finishes an unpacked layer: `implied` (see Unpacked) look like those of the layers `below`, bottom first.

    Idempotent. Raises MemberFailed.
    """
    lower = [MergedView([layer]) for layer in reversed(below)]
    with Extraction(layer_dir, on_chown_error=on_chown_error) as extraction:
        for path in implied:
            entry = _below(path, lower)
            if entry is not None and entry.is_dir:
                extraction.root.directories[os.fsencode(path)] = attributes_of(entry)
        extraction.finish()


def _below(path: str, lower: Iterable[MergedView]) -> Entry | None:
    """What the topmost layer that has `path` has there; None for a whiteout, and where no layer has it."""
    for view in lower:
        try:
            place = canonical(view.lstat, path)
            entry = view.lstat(place)
            top = view.lstat("")
            if entry is not None or top is None:
                return entry
            top.root.lstat(place)
            return None
        except FileNotFoundError:
            continue
        except (OSError, TooManyLinks):
            return None
    return None
