"""Exporting steps to remote caches: the layers of solved plans and a manifest, to a registry or a layout folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from builder.cache.cacheconfig import CREATED, DIFF_ID
from builder.errors import BuilderError, ImageError
from builder.golang.times import rfc3339
from builder.images.layerblobs import layer_blob
from builder.images.push import push_image
from builder.images.tarball import remove_unreachable, write_folder
from builder.oci import REF_NAME, Compression, Descriptor, LayerBlob
from builder.registry.access import RegistryAccess
from builder.remotecache.cachedplan import CachedPlan
from builder.remotecache.cachemanifest import store_manifest
from builder.remotecache.explanations import Explanation
from builder.remotecache.locations import CacheExport, CacheType
from builder.remotecache.remotecache import RemoteCache
from builder.solver import events
from builder.solver.reporter import Progress
from builder.solver.results import Snapshot

if TYPE_CHECKING:
    from builder.store import Store
    from builder.store.layers import LayerId

_WHERE = {CacheType.REGISTRY: "registry", CacheType.LOCAL: "client directory"}


class CacheNotWritten(BuilderError):
    code = "cache-not-written"

    def __init__(self, path: str, error: OSError) -> None:
        file = os.fsdecode(error.filename) if error.filename else path
        why = (error.strerror or str(error)).lower()
        super().__init__(f"cannot write the cache to `{path}`", cause=f"{file}: {why}")


class CacheNotExported(BuilderError):
    """The build succeeded, but a cache with `ignore-error=false` could not be exported."""

    code = "cache-not-exported"

    def __init__(self, export: CacheExport, error: BuilderError) -> None:
        super().__init__(f"the cache was not exported to `{export}`: {error.message}",
                         cause=error.cause, notes=error.notes,
                         hint="the result is done; without `ignore-error=false` in --cache-to the build succeeds")


class CacheExporter:
    """Exports what one run solved. `caches` are those that it imported: their layers are exported again."""

    def __init__(self, store: Store, registries: RegistryAccess, caches: Sequence[RemoteCache],
                 progress: Progress) -> None:
        self._store = store
        self._registries = registries
        self._caches = caches
        self._progress = progress

    def export(self, exports: Iterable[CacheExport], plans: Sequence[tuple[CachedPlan, int | None]]) -> None:
        """Writes the steps of solved plans, each with its output, to all caches. Raises CacheNotExported.

        An inline cache is the image's. A cache that cannot be written is a warning, or where `ignore_error` is off a
        failure; it does not keep the others from being written.
        """
        failure: CacheNotExported | None = None
        for export in exports:
            if export.type is CacheType.INLINE:
                continue
            try:
                self._export(export, plans)
            except BuilderError as error:
                if export.ignore_error:
                    message = f"the cache was not exported to `{export}`: {error.message}"
                    self._progress.emit(events.WarningRaised(time=time.time(), rule="", message=message))
                else:
                    failure = failure or CacheNotExported(export, error)
        if failure is not None:
            raise failure

    def _export(self, export: CacheExport, plans: Sequence[tuple[CachedPlan, int | None]]) -> None:
        with self._progress.internal(f"exporting cache to {_WHERE[export.type]}") as vertex:
            def say(text: str) -> None:
                self._progress.say(vertex, text)

            say("preparing build cache for export")
            layers: dict[str, LayerBlob] = {}
            explanations: dict[str, Explanation] = {}
            for plan, output in plans:
                for index, key in plan.exported(output, all_steps=export.all_steps):
                    result = plan.results.get(index)
                    if isinstance(result, Snapshot) and index not in plan.unfetched:
                        layer = result.layers[-1]
                        layers[key.key] = self._packed(export, layer)
                        explanations[key.key] = plan.explanation(index, key, self._store.layer_info(layer).created)
                    else:
                        self._hand_on(key.key, layers, explanations)
            root = store_manifest(self._store, export, layers, explanations.values())
            self._write(export, root, say)
            say(f"writing cache manifest {root.digest}")

    def _packed(self, export: CacheExport, layer: LayerId) -> LayerBlob:
        """The layer as a blob of the wanted form, or in a form that it has already. Raises StoreError."""
        info, form = self._store.layer_info(layer), export.form
        blob = None
        if info.diff_id is not None and not export.force_compression:
            blobs = (self._store.layer_blob(info.diff_id, one) for one in (form.compression, *Compression))
            blob = next((LayerBlob(descriptor=one, diff_id=info.diff_id) for one in blobs if one), None)
        blob = blob or layer_blob(self._store, layer, form.compression, level=form.level)
        annotations = {DIFF_ID: blob.diff_id, CREATED: rfc3339(info.created)}
        return msgspec.structs.replace(blob, descriptor=msgspec.structs.replace(
            blob.descriptor, annotations=annotations))

    def _hand_on(self, key: str, layers: dict[str, LayerBlob], explanations: dict[str, Explanation]) -> None:
        """Adds what another cache has of a step that was not needed."""
        for cache in self._caches:
            if (layer := cache.layers.get(key)) is not None:
                layers[key] = layer
                if (explanation := cache.explanations().get(key)) is not None:
                    explanations[key] = explanation
                return

    def _write(self, export: CacheExport, root: Descriptor, say: Callable[[str], None]) -> None:
        """Sends no blob that the cache has. Raises RegistryError, StoreError, ImageError, CacheNotWritten."""
        sources = {layer.descriptor.digest: cache for cache in self._caches for layer in cache.layers.values()}

        def fetch(blob: Descriptor) -> None:
            if blob.digest not in sources:
                raise ImageError(f"blob {blob.digest} is neither in the store nor in a cache that was read")
            sources[blob.digest].fetch_blob(blob)

        if export.reference is None:
            tagged = msgspec.structs.replace(root, annotations={REF_NAME: export.tag})
            try:
                write_folder(self._store, (tagged,), export.path, fetch=fetch)
                remove_unreachable(export.path)
            except OSError as error:
                raise CacheNotWritten(export.path, error) from error
        else:
            access = self._registries.insecure(export.reference.domain) if export.insecure else self._registries
            push_image(self._store, access.client, root, export.reference, fetch=fetch, mount_from={},
                       progress=lambda blob, sent: say(f"writing {blob.digest}") if sent else None)
