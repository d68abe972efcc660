"""When an image and its history entries were created, by BuildKit's rules.

A layer's entry was created when the layer was, so a build from the cache gives the same image again; entries without a
layer take the time of the first new layer, or of the layer before them. SOURCE_DATE_EPOCH is the latest time for what
this build adds; what the base brought keeps its times.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from builder.golang.times import parse_rfc3339, rfc3339
from builder.oci import History

_ADDED = "buildkit.exporter.image.v0"
"""The comment on entries that nobody described."""


class LayerOrigin(msgspec.Struct, frozen=True):
    """What is known of a layer beside its content."""

    created: str | None
    description: str = ""


def complete_history(history: Sequence[History], layers: Sequence[LayerOrigin], *, base: Sequence[History] = (),
                     epoch: int | None = None) -> tuple[History, ...]:
    """As many entries with a layer as there are `layers`, all with a time where one is known.

    `base` is the history of the base image, which `history` usually begins with.
    """
    entries = _balanced(history, layers)
    entries = _with_layer_times(entries, layers)
    entries = _filled(entries)
    return entries if epoch is None else _clamped(entries, base, epoch)


def created_at(history: Sequence[History]) -> str | None:
    """When the image was created: the time of its last entry that has one."""
    return next((entry.created for entry in reversed(history) if entry.created), None)


def _balanced(history: Sequence[History], layers: Sequence[LayerOrigin]) -> tuple[History, ...]:
    entries: list[History] = []
    count = 0
    for entry in history:
        if not entry.empty_layer:
            if count == len(layers):
                entry = msgspec.structs.replace(entry, empty_layer=True)
            else:
                count += 1
        entries.append(entry)
    entries += [History(created=layer.created, created_by=layer.description or "created by buildkit", comment=_ADDED)
                for layer in layers[count:]]
    return tuple(entries)


def _with_layer_times(entries: tuple[History, ...], layers: Sequence[LayerOrigin]) -> tuple[History, ...]:
    remaining = iter(layers)
    return tuple(entry if entry.empty_layer else _at(entry, entry.created or next_.created)
                 for entry in entries for next_ in ([LayerOrigin(None)] if entry.empty_layer else [next(remaining)]))


def _filled(entries: tuple[History, ...]) -> tuple[History, ...]:
    """Entries without a time get that of the first one after the first gap, later ones that of the one before."""
    created, gap = None, False
    for entry in entries:
        if entry.created is None:
            gap = True
            continue
        created = entry.created
        if gap:
            break
    filled = []
    gap = False
    for entry in entries:
        if entry.created is None:
            gap = True
            entry = _at(entry, created)
        elif gap:
            created = entry.created
        filled.append(entry)
    return tuple(filled)


def _clamped(entries: tuple[History, ...], base: Sequence[History], epoch: int) -> tuple[History, ...]:
    latest = rfc3339(epoch)
    kept = 0
    while kept < min(len(entries), len(base)) and entries[kept] == base[kept]:
        kept += 1
    return entries[:kept] + tuple(_at(entry, latest) if _is_after(entry.created, epoch) else entry
                                  for entry in entries[kept:])


def _is_after(created: str | None, epoch: int) -> bool:
    moment = parse_rfc3339(created) if created else None
    return moment is None or moment > epoch


def _at(entry: History, created: str | None) -> History:
    return msgspec.structs.replace(entry, created=created)
