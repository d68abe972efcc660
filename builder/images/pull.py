"""Layers of images: downloaded, checked and unpacked in one stream, several layers at once, each once for all builds.

The blob is kept beside the unpacked layer, so that an export sends the same bytes on. Nothing becomes part of the store
before its digests are verified; an interrupted download leaves nothing behind.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from builder.hashing import sha256
from builder.images.errors import LayerNotStored
from builder.oci import Descriptor, DiffID, Digest
from builder.plan.vertices import ResolvedImage, SourceImage
from builder.registry.access import RegistryAccess

if TYPE_CHECKING:
    from builder.images.origins import Origins
    from builder.solver import events
    from builder.store import Store
    from builder.store.layers import LayerId

_PARALLEL = 3
_CHUNK = 256 << 10


class LayerSource:
    """Brings images' layers and blobs into the store; safe for threads. It is exporting's `BaseLayers` too."""

    def __init__(self, store: Store, registries: RegistryAccess) -> None:
        self._store = store
        self._registries = registries

    def ensure_layers(self, image: SourceImage, *, progress: events.Transfer = lambda item, current, total, done: None,
                      cancelled: threading.Event | None = None) -> tuple[LayerId, ...]:
        """The image's layers, bottom first, all unpacked. Idempotent.

        Raises RegistryError, ImageError (a damaged or hostile layer, a wrong diff id), StoreError, Cancelled.
        """
        found = self.find_layers(image)
        if all(found):
            return cast("tuple[LayerId, ...]", tuple(found))
        return self._pull(image, found, progress, cancelled or threading.Event())

    def ensure_packed(self, image: SourceImage, *, progress: events.Transfer, cancelled: threading.Event) -> LayerId:
        """The only layer of `image`, which need not be unpacked before somebody looks into it. Raises as above."""
        if (found := self.find_layers(image)[0]) is not None:
            return found
        from contextlib import ExitStack

        from builder.images.transfer import Transfer

        with ExitStack() as staging:
            return Transfer(self._store, image, self._origins(), staging, progress, cancelled).packed(0)

    def find_layers(self, image: SourceImage) -> list[LayerId | None]:
        """The image's layers, bottom first, None for those that would have to be fetched or unpacked."""
        return [self._find(image.diff_ids, position) for position in range(len(image.diff_ids))]

    def fetch_blob(self, image: ResolvedImage, descriptor: Descriptor) -> None:
        """Makes the blob part of the store, if it is not. Raises RegistryError, ImageError, StoreError."""
        with self._store.lock(f"blob {descriptor.digest}"):
            if self._store.has_blob(descriptor.digest):
                return
            source = self._origins().open_blob(image.name, image.origin, descriptor)
            try:
                with self._store.stage_blob() as staged:
                    while chunk := source.read(_CHUNK):
                        staged.file.write(chunk)
                    staged.commit(descriptor.digest)
            finally:
                source.close()

    def _origins(self) -> Origins:
        from builder.images.origins import Origins

        return Origins(self._store, self._registries)

    def _find(self, diff_ids: Sequence[DiffID], position: int) -> LayerId | None:
        return self._store.find_layer(diff_ids[position]) or self._store.find_content(_content(diff_ids, position))

    def _pull(self, image: SourceImage, found: list[LayerId | None], progress: events.Transfer,
              cancelled: threading.Event) -> tuple[LayerId, ...]:
        from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
        from contextlib import ExitStack

        from builder.images.transfer import Transfer

        with ExitStack() as staging:
            transfer = Transfer(self._store, image, self._origins(), staging, progress, cancelled)
            missing = [position for position, layer in enumerate(found) if layer is None]
            with ThreadPoolExecutor(min(_PARALLEL, len(missing)), "pull") as pool:
                futures = {position: pool.submit(transfer.layer, position) for position in missing}
                try:
                    done, _ = wait(futures.values(), return_when=FIRST_EXCEPTION)
                    if failure := next((error for future in done if (error := future.exception())), None):
                        raise failure
                except BaseException:
                    transfer.stop()
                    raise
            layers: list[LayerId] = []
            for position, layer in enumerate(found):
                layers.append(layer or transfer.commit(
                    futures[position].result(), _content(image.diff_ids, position), layers))
            return tuple(layers)


def blob_fetcher(store: Store, layers: LayerSource) -> Callable[[Descriptor], None]:
    """Brings a blob of some stored image back. The function raises LayerNotStored, RegistryError."""
    from builder.images.origins import pulled_layers

    known: dict[Digest, ResolvedImage] = {}

    def fetch(blob: Descriptor) -> None:
        if not known:
            known.update(pulled_layers(store))
        if blob.digest not in known:
            raise LayerNotStored("the image", blob.digest)
        layers.fetch_blob(known[blob.digest], blob)

    return fetch


def _content(diff_ids: Sequence[DiffID], position: int) -> str:
    """Names a layer whose directories look as they do because of what is below it."""
    below = sha256("\n".join(diff_ids[:position]).encode()).hexdigest()
    return f"{diff_ids[position]} over {below}"
