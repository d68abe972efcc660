"""Importing remote caches: which of a plan's results they have, and the layers, several downloads at a time.

Only manifests are read at first; a layer is fetched when a build uses it, unless the store has it already.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from builder.context.fingerprints import Sha256Digests
from builder.errors import BuilderError
from builder.images.pull import LayerSource
from builder.oci import LayerBlob
from builder.plan.vertices import Plan, SourceImage
from builder.registry.access import RegistryAccess
from builder.remotecache.cachedplan import CachedPlan
from builder.remotecache.locations import CacheImport
from builder.remotecache.needed import (
    found_vertices,
    read_vertices,
    skipped_vertices,
    unkeyed_vertices,
    unread_images,
)
from builder.remotecache.portable import portable_keys, prepare_sources
from builder.remotecache.remotecache import RemoteCache, open_cache
from builder.solver.reporter import Progress, transfer_of
from builder.solver.resources import Resources

if TYPE_CHECKING:
    from builder.store import Store
    from builder.store.layers import LayerId

_PARALLEL = 3


class CacheImporter:
    """The remote caches that one run imports; a context manager, which ends downloads."""

    def __init__(self, imports: Iterable[CacheImport], store: Store, registries: RegistryAccess, layers: LayerSource,
                 progress: Progress) -> None:
        """Reads all caches, each once. One that cannot be read is shown as failed, and the build does without it."""
        self.progress = progress
        self._layers = layers
        self._contents = Sha256Digests(store)
        self._plans: list[CachedPlan] = []
        self._pool = ThreadPoolExecutor(_PARALLEL, "cache")
        self.caches: list[RemoteCache] = []
        for source in dict.fromkeys(imports):
            with contextlib.suppress(BuilderError), progress.internal(f"importing cache manifest from {source}"):
                self.caches.append(open_cache(source, store, registries))

    def __enter__(self) -> CacheImporter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        for plan in self._plans:
            for executor in plan.executors.values():
                executor.close()
        if kind is None:
            self._contents.save()

    def look_up(self, plan: Plan, resources: Resources, first: int, outputs: Collection[int] = (), *,
                only_images: bool, nothing: bool = False) -> CachedPlan:
        """What the caches have of a plan whose vertices are numbered from `first`.

        `outputs` are vertices that are wanted although others stand on them. `only_images`: nobody wants their files,
        so a base image need not be fetched to make an image on it. `nothing`: nor their layers, which are fetched only
        for steps that run.
        """
        executors = prepare_sources(plan, resources)
        keys = portable_keys(plan, resources.contexts, self._contents, executors)
        found: dict[int, RemoteCache] = {}
        for cache in reversed(self.caches):  # those that are named first win
            found |= dict.fromkeys(found_vertices(plan, keys, cache.layers), cache)
        skipped = skipped_vertices(plan, outputs, found)
        needed = {index: (cache, cache.layers[key.key]) for index, cache in found.items()
                  if index not in skipped and (key := keys[index]) is not None}
        read = read_vertices(plan, skipped, needed) if only_images else frozenset(range(len(plan.vertices)))
        images = {index: op.diff_ids for index in unread_images(plan, skipped, read)
                  if isinstance(op := plan.vertices[index].op, SourceImage) and not all(self._layers.find_layers(op))}
        steps = {index: (layer.diff_id,) for index, (_, layer) in needed.items() if nothing and index not in read}
        fetched = {index: one for index, one in needed.items() if index not in steps}
        cached = CachedPlan(
            plan=plan, keys=keys, caches=self.caches, executors=executors, found=frozenset(needed), skipped=skipped,
            unfetched=images | steps, unkeyed=unkeyed_vertices(plan, skipped, images, needed),
            download=self._downloads(fetched, read, resources, first))
        self._plans.append(cached)
        return cached

    def _downloads(self, found: Mapping[int, tuple[RemoteCache, LayerBlob]], read: Collection[int],
                   resources: Resources, first: int) -> Callable[[int], LayerId]:
        """Gives the layer of a vertex. With the first that is wanted all are fetched; those of `read` are unpacked."""
        lock = threading.Lock()
        futures: dict[int, Future[LayerId]] = {}

        def download(vertex: int) -> LayerId:
            with lock:
                if not futures:
                    for index, (cache, layer) in found.items():
                        futures[index] = self._pool.submit(
                            cache.fetch, layer, unpack=index in read, cancelled=resources.cancelled,
                            progress=transfer_of(first + index, resources.emit))
            return futures[vertex].result()

        return download
