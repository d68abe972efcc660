"""Layer blobs: each layer is packed once for each compression, and the blob is kept.

A build calls `layer_blob` in the background as soon as a step has ended; exporting then finds the blob ready.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from builder.oci import Compression, LayerBlob

if TYPE_CHECKING:
    from builder.store import Store
    from builder.store.layers import LayerId


def layer_blob(store: Store, layer: LayerId, compression: Compression, *, level: int | None = None,
               clamp_mtime: int | None = None, cancelled: threading.Event | None = None) -> LayerBlob:
    """The layer as a stored blob. Idempotent; concurrent calls for one layer pack it once.

    `clamp_mtime` moves later times to it, which gives the layer another diff id. A blob of another `level` serves too.
    Raises StoreError, and Cancelled soon after the event is set.
    """
    if found := _stored(store, layer, compression, clamp_mtime):
        return found
    with store.lock(f"pack {layer} {compression}", cancelled):
        found = _stored(store, layer, compression, clamp_mtime)
        return found or _pack(store, layer, compression, level, clamp_mtime, cancelled or threading.Event())


def _stored(store: Store, layer: LayerId, compression: Compression, clamp_mtime: int | None) -> LayerBlob | None:
    diff_id = store.layer_info(layer).diff_id
    if diff_id is None or clamp_mtime is not None:
        return None
    descriptor = store.layer_blob(diff_id, compression)
    return LayerBlob(descriptor=descriptor, diff_id=diff_id) if descriptor else None


def _pack(store: Store, layer: LayerId, compression: Compression, level: int | None,
          clamp_mtime: int | None, cancelled: threading.Event) -> LayerBlob:
    from builder.layer.compress import BlobFile
    from builder.layer.pack import pack

    with store.stage_blob() as staged:
        with BlobFile(staged.path, cancelled) as file:
            blob = pack(store.layer_dir(layer), file, compression=compression, level=level,
                        clamp_mtime=clamp_mtime).blob
        staged.commit(blob.digest, verified=True)
    if clamp_mtime is None:
        store.set_packed(layer, blob.diff_id, blob.diff_size)
    store.add_layer_blob(blob.diff_id, compression, blob.descriptor)
    return LayerBlob(descriptor=blob.descriptor, diff_id=blob.diff_id)


def recompressed(store: Store, stored: LayerBlob, compression: Compression, level: int | None) -> LayerBlob:
    """A stored blob's content in another compression. Raises ArchiveDamaged, StoreError."""
    from builder.layer.compress import compressor
    from builder.layer.decompress import decompressor

    with store.lock(f"pack {stored.diff_id} {compression}"):
        if found := store.layer_blob(stored.diff_id, compression):
            return LayerBlob(descriptor=found, diff_id=stored.diff_id)
        with store.open_blob(stored.descriptor.digest) as source, store.stage_blob() as staged:
            with open(staged.path, "wb") as file, compressor(file, compression, level) as writer:
                for piece in decompressor(source, what=f"blob {stored.descriptor.digest}"):
                    writer.write(piece)
                blob = writer.finish()
            staged.commit(blob.digest, verified=True)
        store.add_layer_blob(blob.diff_id, compression, blob.descriptor)
        return LayerBlob(descriptor=blob.descriptor, diff_id=stored.diff_id)
