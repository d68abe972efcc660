"""COPY, ADD, WORKDIR and here-document sources: executors that write files without running anything."""

from __future__ import annotations

from collections.abc import Sequence

from builder.cache.key import Parts, op_parts
from builder.layer.copylayer import plan_copy, plan_mkdir, write_inline
from builder.layer.taken import Taken
from builder.oci import BlobForm
from builder.plan.vertices import Copy, MakeDirectory, SourceInline
from builder.solver.ops.executor import Log
from builder.solver.resources import Resources
from builder.solver.results import Result
from builder.store.layers import StagedLayer


class CopyExecutor:
    """One COPY or ADD. The parent counts only through the few facts that the copying looks at."""

    def __init__(self, op: Copy, inputs: Sequence[Result], resources: Resources, form: BlobForm | None) -> None:
        self._op = op
        self._form = form
        self._store = resources.store
        self._fingerprints = resources.fingerprints
        self._cancelled = resources.cancelled
        self._parent = resources.tree(inputs[0]) if op.has_parent else None
        self._plan = plan_copy(op, [resources.tree(inputs[source.input]) for source in op.sources], self._parent)

    def parts(self) -> Parts:
        parts = _named(self._plan.key_parts(self._fingerprints))
        return {**parts, "sources": [list(source.paths) for source in self._op.sources], "link": self._op.link}

    def lists(self) -> Parts:
        return {"files.list": self._plan.manifest(self._fingerprints)}

    @property
    def taken(self) -> Taken:
        """The files that are copied."""
        return self._plan.taken

    def fill(self, layer: StagedLayer, log: Log) -> None:
        if self._form is None or not self._pack(layer, self._form):
            self._plan.write(layer.diff, parent=self._parent, xattr_prefix=self._store.xattr_prefix,
                             cancelled=self._cancelled)

    def _pack(self, layer: StagedLayer, form: BlobForm) -> bool:
        """Makes the layer's blob alone, if that is possible."""
        from builder.layer.compress import BlobFile

        with self._store.stage_blob() as staged:
            with BlobFile(staged.path, self._cancelled) as file:
                packed = self._plan.pack(layer.diff, file, form)
            if packed is None:
                return False
            blob = packed.blob
            staged.commit(blob.digest, verified=True)
        self._store.add_layer_blob(blob.diff_id, form.compression, blob.descriptor)
        layer.use_blob(blob.diff_id, blob.diff_size)
        return True

    def close(self) -> None:
        pass


def _named(parts: Parts) -> Parts:
    """A file operation's parts in the words of `cache.key`: `parent` are a RUN's layers, `below` is what was seen."""
    return {**{name: value for name, value in parts.items() if name != "parent"},
            "below": sorted(parts["parent"].items())}


class MakeDirectoryExecutor:
    """WORKDIR."""

    def __init__(self, op: MakeDirectory, inputs: Sequence[Result], resources: Resources) -> None:
        self._created = op.created
        self._plan = plan_mkdir(op, resources.tree(inputs[0]) if inputs else None)

    def parts(self) -> Parts:
        return {**_named(self._plan.key_parts()), "created": self._created}

    def lists(self) -> Parts:
        return {}

    def fill(self, layer: StagedLayer, log: Log) -> None:
        now_ns = None if self._created is None else self._created * 10**9
        self._plan.write(layer.diff, now_ns=now_ns)

    def close(self) -> None:
        pass


class InlineExecutor:
    """The bodies of here-documents as a layer of their own, for COPY to take from."""

    def __init__(self, op: SourceInline) -> None:
        self._op = op

    def parts(self) -> Parts:
        return op_parts(self._op)

    def lists(self) -> Parts:
        return {}

    def fill(self, layer: StagedLayer, log: Log) -> None:
        write_inline(self._op.files, layer.diff)

    def close(self) -> None:
        pass
