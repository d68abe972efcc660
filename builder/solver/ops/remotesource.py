"""Remote sources: image layers, URLs and git repositories.

URLs and git references move, so each build asks again what they are now; the key holds what they are, not where.
"""

from __future__ import annotations

import os
import threading
import time

import msgspec

from builder.cache.key import Parts
from builder.hashing import sha256
from builder.plan.vertices import SourceGit, SourceHttp, SourceImage
from builder.rooted.root import Root
from builder.solver import events
from builder.solver.ops.executor import Log
from builder.solver.reporter import transfer_of
from builder.solver.resources import Resources
from builder.solver.results import Snapshot
from builder.store.layers import StagedLayer


def pull(op: SourceImage, resources: Resources, vertex: int) -> tuple[Snapshot, bool]:
    """The image's layers, fetched and unpacked where the store lacks them, and whether it lacked any.

    Raises ImageError, RegistryError.
    """
    emit, started = resources.emit, threading.Event()
    layers = resources.fetch_image(op, transfer_of(vertex, emit, started), resources.cancelled)
    if started.is_set():
        emit(events.VertexDone(time=time.time(), vertex=vertex))
    else:
        emit(events.VertexCached(time=time.time(), vertex=vertex))
    return Snapshot(layers), started.is_set()


class HttpExecutor:
    """A file from a URL. The server is asked each time; without a change it sends nothing, and the layer serves on."""

    def __init__(self, op: SourceHttp, resources: Resources) -> None:
        from builder.context.httpsource import HttpAccess

        self._op = op
        self._resources = resources
        self._access = HttpAccess(secret=resources.secret, cancelled=resources.cancelled)
        self._memory = f"http {sha256(msgspec.json.encode(op)).hexdigest()}"
        self._staged: StagedLayer | None = None
        self._is_fresh = False

    def parts(self) -> Parts:
        from builder.context.httpsource import HttpFile, Status, fetch_http

        store = self._resources.store
        earlier = HttpFile.recalled(store.recall(self._memory))
        self._staged = store.stage_layer()
        file = fetch_http(self._op, self._staged.diff, self._access, earlier=earlier)
        self._is_fresh = file.status is Status.FRESH
        if self._is_fresh:
            store.remember(self._memory, msgspec.json.encode(file))
        return {"content": file.digest, "filename": file.filename, "mtime": file.mtime}

    def lists(self) -> Parts:
        return {}

    def fill(self, layer: StagedLayer, log: Log) -> None:
        from builder.context.httpsource import fetch_http

        if self._staged is None or not self._is_fresh:  # the layer was pruned, though the server has nothing new
            fetch_http(self._op, layer.diff, self._access)
            return
        source, target = Root(self._staged.diff).directory(""), Root(layer.diff).directory("")
        for name in source.names():
            os.rename(name, name, src_dir_fd=source.fd, dst_dir_fd=target.fd)

    def close(self) -> None:
        if self._staged is not None:
            self._staged.discard()


class GitExecutor:
    """A git tree, keyed by the commit that the reference names now."""

    def __init__(self, op: SourceGit, resources: Resources) -> None:
        from builder.context.git import GitAccess, resolve_git

        self._op = op
        self._access = GitAccess(cache_dir=os.path.join(resources.store.root, "git"), secret=resources.secret,
                                 ssh_socket=resources.ssh_socket("default"), cancelled=resources.cancelled)
        self._revision = resolve_git(op, self._access)

    def parts(self) -> Parts:
        from builder.context.git import git_key

        return {"content": git_key(self._op, self._revision)}

    def lists(self) -> Parts:
        return {}

    def fill(self, layer: StagedLayer, log: Log) -> None:
        from builder.context.git import fetch_git

        fetch_git(self._op, self._revision, layer.diff, self._access)

    def close(self) -> None:
        pass
