"""Sources from elsewhere: image layers, URLs and git repositories."""

from __future__ import annotations

import os
import time

from builder.cache.key import Parts, op_parts
from builder.context.git import GitFetcher
from builder.context.http import HttpFetcher
from builder.engine import events
from builder.engine.ops.work import Log
from builder.engine.resources import Resources
from builder.engine.results import Snapshot
from builder.plan.vertices import SourceGit, SourceHttp, SourceImage
from builder.store.layers import LayerId, StagedLayer


def pull(op: SourceImage, resources: Resources, vertex: int) -> Snapshot:
    """The image's layers, fetched and unpacked where the store lacks them. Raises ImageError, RegistryError."""
    emit = resources.emit
    present = [resources.store.find_layer(diff_id) for diff_id in op.diff_ids]
    if None not in present:
        emit(events.VertexCached(time=time.time(), vertex=vertex))
        return Snapshot(tuple(layer for layer in present if layer is not None))
    emit(events.VertexStarted(time=time.time(), vertex=vertex))

    def progress(item: str, current: int, total: int, done: bool) -> None:
        emit(events.VertexProgress(time=time.time(), vertex=vertex, item=item, current=current, total=total, done=done))

    layers: tuple[LayerId, ...] = resources.fetch_image(op, progress)
    emit(events.VertexDone(time=time.time(), vertex=vertex))
    return Snapshot(layers)
