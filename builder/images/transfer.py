"""The work of pulling: a layer's bytes go from where they come from into a staged blob and a staged layer at once."""

from __future__ import annotations

import contextlib
import threading
import time
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, cast

import msgspec

from builder.cache.cacheconfig import CREATED
from builder.errors import Cancelled
from builder.golang.times import parse_rfc3339
from builder.images.manifest import layer_compression
from builder.images.origins import Origins, Readable
from builder.layer.implied import inherit_attributes
from builder.layer.unpack import on_chown_error, unpack_layer
from builder.oci import Descriptor, DiffID
from builder.plan.vertices import SourceImage

if TYPE_CHECKING:
    from builder.solver import events
    from builder.store import Store
    from builder.store.layers import LayerId, StagedLayer

_CHUNK = 256 << 10
_PROGRESS_SECONDS = 0.1


class _Unpacked(msgspec.Struct):
    """A layer that cannot be committed before the layers below it are known."""

    staged: StagedLayer
    implied: tuple[str, ...]


class Transfer:
    """One image's missing layers."""

    def __init__(self, store: Store, image: SourceImage, origins: Origins, staging: ExitStack,
                 progress: events.Transfer, cancelled: threading.Event) -> None:
        self._cancelled = cancelled
        self._failed = threading.Event()
        self._store = store
        self._origins = origins
        self._image = image
        self._staging = staging
        self._progress = progress

    def stop(self) -> None:
        """Ends what is under way: another layer has failed."""
        self._failed.set()

    def layer(self, position: int) -> LayerId | _Unpacked:
        """Unpacks the layer, unless another build has just done so."""
        descriptor, diff_id = self._image.descriptors[position], self._image.diff_ids[position]
        compression = layer_compression(self._image.name, descriptor)
        with self._store.lock(f"layer {diff_id}", self._cancelled):
            if layer := self._store.find_layer(diff_id):
                return layer
            staged = self._staging.enter_context(self._store.stage_layer())
            implied = self._unpack(descriptor, diff_id, staged.diff)
            self._store.add_layer_blob(diff_id, compression, descriptor)
            self._progress(descriptor.digest, descriptor.size, descriptor.size, True)
            if implied:
                return _Unpacked(staged, implied)
            return self._commit(staged, descriptor, diff_id)

    def packed(self, position: int) -> LayerId:
        """Keeps the layer as a blob, whose diff id is verified when it is first unpacked."""
        descriptor, diff_id = self._image.descriptors[position], self._image.diff_ids[position]
        compression = layer_compression(self._image.name, descriptor)
        with self._store.lock(f"layer {diff_id}", self._cancelled):
            if layer := self._store.find_layer(diff_id):
                return layer
            if not self._store.has_blob(descriptor.digest):
                with self._store.stage_blob() as blob, contextlib.closing(
                        self._origins.open_blob(self._image.name, self._image.origin, descriptor)) as source:
                    stream = self._stream(source, descriptor, blob.file)
                    while stream.read(_CHUNK):
                        pass
                    blob.commit(descriptor.digest)
            self._store.add_layer_blob(diff_id, compression, descriptor)
            self._progress(descriptor.digest, descriptor.size, descriptor.size, True)
            with self._store.stage_layer() as staged:
                staged.use_blob(diff_id, None)
                return self._commit(staged, descriptor, diff_id)

    def _commit(self, staged: StagedLayer, descriptor: Descriptor, diff_id: DiffID) -> LayerId:
        return staged.commit(diff_id=diff_id, description=f"pulled from {self._image.name}",
                             created=parse_rfc3339(descriptor.annotations.get(CREATED, "")))

    def _stream(self, source: Readable, descriptor: Descriptor, copy: object) -> _Stream:
        return _Stream(source, descriptor, cast(IO[bytes], copy) if copy else None, self._progress,
                       (self._cancelled, self._failed))

    def commit(self, result: LayerId | _Unpacked, content: str, below: list[LayerId]) -> LayerId:
        if not isinstance(result, _Unpacked):
            return result
        inherit_attributes(result.staged.diff, result.implied, [self._store.layer_dir(layer) for layer in below],
                           on_chown_error=on_chown_error())
        return result.staged.commit(content=content, description=f"pulled from {self._image.name}")

    def _unpack(self, descriptor: Descriptor, diff_id: DiffID, target_dir: str) -> tuple[str, ...]:
        with ExitStack() as stack:
            staged = None
            source: Readable
            if self._store.has_blob(descriptor.digest):
                source = cast(Readable, self._store.open_blob(descriptor.digest))
            else:
                staged = stack.enter_context(self._store.stage_blob())
                source = self._origins.open_blob(self._image.name, self._image.origin, descriptor)
            stack.callback(source.close)
            stream = self._stream(source, descriptor, staged.file if staged else None)
            unpacked = unpack_layer(stream, target_dir, xattr_prefix=self._store.xattr_prefix,
                                    on_chown_error=on_chown_error(), expected_diff_id=diff_id,
                                    what=f"layer {descriptor.digest} of {self._image.name}")
            if staged:
                staged.commit(descriptor.digest)
            return unpacked.implied


class _Stream:
    """What is read from `source`, also written to `copy`; reports progress, stops when cancelled."""

    def __init__(self, source: Readable, descriptor: Descriptor, copy: IO[bytes] | None, progress: events.Transfer,
                 stops: tuple[threading.Event, ...]) -> None:
        self._source = source
        self._descriptor = descriptor
        self._copy = copy
        self._progress = progress
        self._stops = stops
        self._done = 0
        self._reported = 0.0

    def read(self, size: int) -> bytes:
        if any(stop.is_set() for stop in self._stops):
            raise Cancelled("cancelled while a layer was being pulled")
        data = self._source.read(size)
        if self._copy:
            self._copy.write(data)
        self._done += len(data)
        now = time.monotonic()
        if now - self._reported > _PROGRESS_SECONDS:
            self._reported = now
            self._progress(self._descriptor.digest, self._done, self._descriptor.size, False)
        return data
