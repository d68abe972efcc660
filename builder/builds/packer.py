"""Layers become blobs in the background, while later steps run.

Only those that some output will want, in the form in which it will want them; exporting then finds them ready. What
fails here fails again when exporting, and is reported there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from types import TracebackType

from builder.errors import BuilderError
from builder.images.layerblobs import layer_blob
from builder.images.outputs import IMAGES, Output, OutputType
from builder.oci import BlobForm
from builder.plan.vertices import Plan
from builder.solver.lineage import parents
from builder.solver.vertex import Outcome
from builder.store import Store
from builder.store.layers import LayerId


class Packing:
    """A context manager; leaving it gives up the layers that are waiting. The one in hand is waited for, for exporting
    will want it, or after an error given up within a moment, however large it is.

    One layer is packed at a time, which keeps two cores busy. The thread starts with the first one.
    """

    def __init__(self, store: Store, outputs: Sequence[Output]) -> None:
        self._store = store
        self._forms = {BlobForm(o.image.compression, o.image.compression_level) for o in outputs if _takes_blobs(o)}
        self.only_blobs = all(_takes_blobs(output) or output.type is OutputType.CACHEONLY for output in outputs)
        """Whether no output wants files."""
        self.nothing = all(output.type is OutputType.CACHEONLY for output in outputs)
        """Whether no output wants anything."""
        self.only_form = next(iter(self._forms)) if len(self._forms) == 1 and all(map(_takes_blobs, outputs)) else None
        """The form in which all outputs want each layer; None where some want another one, or files."""
        self._waiting: SimpleQueue[LayerId | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._left = False
        self._cancelled = threading.Event()
        self._lock = threading.Lock()

    def watch(self, plan: Plan) -> Callable[[Outcome], None]:
        """To be called with each vertex of the plan when it ends; those that ran and that the image has are packed."""
        # The last one is left to exporting, which comes as soon as it is there.
        below = set(parents(plan, plan.output)) if self._forms and plan.output is not None else set()

        def ended(outcome: Outcome) -> None:
            if outcome.state == "run" and outcome.layer is not None and outcome.vertex in below:
                self._take(outcome.layer)

        return ended

    def __enter__(self) -> Packing:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._left = True
        if kind is not None:
            self._cancelled.set()
        self._waiting.put(None)
        if self._thread is not None:
            try:
                self._thread.join()
            except KeyboardInterrupt:
                self._cancelled.set()
                self._thread.join()
                raise

    def _take(self, layer: LayerId) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._pack_all, name="packing")
                self._thread.start()
        self._waiting.put(layer)

    def _pack_all(self) -> None:
        while (layer := self._waiting.get()) is not None and not self._left:
            for form in self._forms:
                self._pack(layer, form)

    def _pack(self, layer: LayerId, form: BlobForm) -> None:
        try:
            layer_blob(self._store, layer, form.compression, level=form.level, cancelled=self._cancelled)
        except (BuilderError, OSError):
            """Exporting meets it too."""


def _takes_blobs(output: Output) -> bool:
    return output.type in IMAGES and not output.image.rewrite_timestamp
