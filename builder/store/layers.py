"""Layers: file system changes, each a directory in overlayfs form that depends on nothing below it.

A layer made from known content (`diff_id` or `content` given at commit) has an id that is derived from it: two builds
that make the same layer at once end up with one, and a layer that was pruned and made again has the same id, so cache
keys that mention it stay good. The store's secret seeds the ids: nobody can craft two contents with one id.
"""

from __future__ import annotations

import contextlib
import os
import time
from types import TracebackType
from typing import NewType

import msgspec

from builder.errors import StoreError
from builder.hashing import blake2b
from builder.oci import Compression, Descriptor, DiffID
from builder.store import trace
from builder.store.blobs import Blobs, blob_path
from builder.store.database import Transaction
from builder.store.disk import copy_attributes, tree_size
from builder.store.layout import write_file
from builder.store.locks import named_lock
from builder.store.state import raise_if_full, reporting_full_disk

LayerId = NewType("LayerId", str)

INFO_FILE = "layer.json"
_ROOT = "root"
"""Beside the info of a layer that was committed packed: an empty directory with the attributes of its `/`."""
_COLUMNS = "id, diff_id, content, size, tar_size, created, used, description"


class LayerInfo(msgspec.Struct, frozen=True):
    id: LayerId
    diff_id: DiffID | None
    """Of the layer's tar, once it was packed."""
    content: str | None
    """The maker's digest of the layer's content, where it computed one."""
    size: int | None
    """Bytes on disk; None until somebody needed to know."""
    tar_size: int | None
    """Bytes of the layer's tar, once it was packed."""
    created: float
    last_used: float
    description: str


class LayerMissing(StoreError):
    code = "layer-missing"

    def __init__(self, layer: str) -> None:
        super().__init__(f"the store has no layer `{layer}`", hint="it was pruned meanwhile; run the build again")


class Layers(Blobs):
    def has_layer(self, layer: LayerId) -> bool:
        """Whether the layer is there, as a directory or packed. Under a lease it stays until the lease ends."""
        return self._use("layer", layer) and self.is_stored(layer)

    def is_unpacked(self, layer: LayerId) -> bool:
        """Whether the layer has its directory."""
        return os.path.isdir(self._diff_dir(layer))

    def is_stored(self, layer: LayerId) -> bool:
        """Whether the store has the layer's directory or, for one that nobody has looked into yet, its blob."""
        return self.is_unpacked(layer) or self._only_blob(layer) is not None

    def layer_dir(self, layer: LayerId) -> str:
        """The layer's directory; what is only stored packed is unpacked now.

        Raises LayerMissing, and for a damaged blob StoreErrors and ImageErrors.
        """
        if not self.is_unpacked(layer):
            self._unpack(layer)
        return self._diff_dir(layer)

    def layer_info(self, layer: LayerId) -> LayerInfo:
        """Raises LayerMissing."""
        row = self.db.row(f"SELECT {_COLUMNS} FROM layers WHERE id=?", layer)
        if row is None:
            raise LayerMissing(layer)
        return LayerInfo(*row)

    def layer_size(self, layer: LayerId) -> int:
        """Bytes on disk, counted and remembered at the first call. Raises LayerMissing."""
        size = self.layer_info(layer).size
        if size is None:
            size = tree_size(self.path("layers", layer))
            self.db.execute("UPDATE layers SET size=? WHERE id=?", size, layer)
        return size

    def find_layer(self, diff_id: DiffID) -> LayerId | None:
        """A layer whose tar has this diff id. Under a lease it stays until the lease ends."""
        return self._find("diff_id", diff_id)

    def find_content(self, content: str) -> LayerId | None:
        """A layer that was committed with this content digest. Under a lease it stays until the lease ends."""
        return self._find("content", content)

    def id_of_content(self, content: str) -> LayerId:
        """The id that a layer committed with this content digest has, or will have if nothing else took it."""
        return LayerId(_derived_id(self.secret, content))

    def set_packed(self, layer: LayerId, diff_id: DiffID, tar_size: int, content: str | None = None) -> None:
        """Notes what packing the layer gave. Several layers may have one diff id. Raises LayerMissing."""
        changed = self.db.execute("UPDATE layers SET diff_id=?, tar_size=?, content=coalesce(content, ?) WHERE id=?",
                                  diff_id, tar_size, content, layer)
        if not changed:
            raise LayerMissing(layer)
        with reporting_full_disk(self.root), contextlib.suppress(FileNotFoundError):
            write_info(self.path("layers", layer), self.layer_info(layer))

    def layer_blob(self, diff_id: DiffID, compression: Compression) -> Descriptor | None:
        """The blob that packs this diff, if it is stored. Under a lease it stays until the lease ends."""
        row = self.db.row("SELECT digest, descriptor FROM packed WHERE diff_id=? AND compression=?",
                           diff_id, compression.value)
        if row is None or not self._use("blob", row[0]):
            return None
        descriptor = msgspec.json.decode(row[1], type=Descriptor)
        return descriptor if os.path.exists(blob_path(self.root, descriptor.digest)) else None

    def add_layer_blob(self, diff_id: DiffID, compression: Compression, descriptor: Descriptor) -> None:
        """Notes that the stored blob `descriptor` packs this diff; the last one counts."""
        self.db.execute("INSERT OR REPLACE INTO packed VALUES(?,?,?,?)",
                         diff_id, compression.value, descriptor.digest, msgspec.json.encode(descriptor))

    def stage_layer(self) -> StagedLayer:
        """A layer to be filled, for a `with` block; without `commit` nothing remains of it."""
        with reporting_full_disk(self.root):
            return StagedLayer(self, self.session.new_folder())

    def pin_layers(self, owner: str, layers: tuple[LayerId, ...]) -> None:
        """Keeps layers from GC until `unpin_layers(owner)`, whatever happens to this process (a container's root).

        Raises LayerMissing, and then pins none.
        """
        with self.db.write() as transaction:
            for layer in layers:
                if not transaction.rows("SELECT 1 FROM layers WHERE id=?", layer):
                    raise LayerMissing(layer)
                transaction.execute("INSERT OR IGNORE INTO pins VALUES(?,?)", owner, layer)

    def unpin_layers(self, owner: str) -> None:
        self.db.execute("DELETE FROM pins WHERE owner=?", owner)

    def pinned(self) -> set[str]:
        """What is in use now, as `layer <id>` and `blob <digest>`; certain only under `session.deleting`."""
        return self.session.pins_of_all() | {f"layer {row[0]}" for row in self.db.rows("SELECT layer FROM pins")}

    def _diff_dir(self, layer: LayerId) -> str:
        return os.path.join(self.root, "layers", layer, "diff")

    def _only_blob(self, layer: LayerId) -> Descriptor | None:
        """The blob of a layer that was committed packed. Under a lease it stays until the lease ends."""
        if not os.path.isdir(self.path("layers", layer, _ROOT)):
            return None
        diff_id = self.layer_info(layer).diff_id
        blobs = (self.layer_blob(diff_id, compression) for compression in Compression) if diff_id else ()
        return next((blob for blob in blobs if blob is not None), None)

    def _unpack(self, layer: LayerId) -> None:
        from builder.layer.unpack import unpack_layer

        with named_lock(self.root, f"unpack {layer}"):
            if self.is_unpacked(layer):
                return
            blob = self._only_blob(layer)
            if blob is None:
                raise LayerMissing(layer)
            with self.stage_layer() as staged:
                with self.open_blob(blob.digest) as source:
                    unpack_layer(source, staged.diff, xattr_prefix=self.xattr_prefix, on_chown_error="record",
                                 expected_diff_id=self.layer_info(layer).diff_id, what=f"layer `{layer}`")
                copy_attributes(self.path("layers", layer, _ROOT), staged.diff)
                trace.point("layer-unpacked")
                with self.session.committing():
                    try:
                        os.rename(staged.diff, self._diff_dir(layer))
                    except FileNotFoundError:
                        raise LayerMissing(layer) from None  # pruned meanwhile, where no lease is held
                    self.db.execute("UPDATE layers SET size=NULL WHERE id=?", layer)

    def _find(self, column: str, value: str) -> LayerId | None:
        for (layer,) in self.db.rows(f"SELECT id FROM layers WHERE {column}=? ORDER BY created", value):
            if self.has_layer(layer):
                return LayerId(layer)
        return None

    def _add_layer(self, folder: str, row: LayerInfo, name: str, *, fresh: bool) -> LayerId:
        """Gives the folder its name and row, or returns the equal layer that is there already."""
        with self.session.committing(), self.db.write() as transaction:
            # Inside the write transaction: of two builds that commit equal layers the second sees the first one's row.
            if fresh:
                transaction.execute("UPDATE layers SET content=NULL WHERE content=?", row.content)
            layer = self._equal_layer(transaction, row) or self._claim(folder, row, name, transaction)
            self.session.pin(f"layer {layer}")
        trace.point("layer-committed")
        return layer

    def _equal_layer(self, transaction: Transaction, row: LayerInfo) -> LayerId | None:
        column, value = ("content", row.content) if row.content is not None else ("diff_id", row.diff_id)
        if value is not None:
            for (layer,) in transaction.rows(f"SELECT id FROM layers WHERE {column}=?", value):
                if self.is_stored(layer):
                    return LayerId(layer)
        return None

    def _claim(self, folder: str, row: LayerInfo, name: str, transaction: Transaction) -> LayerId:
        target = self.path("layers", name)
        if os.path.lexists(target):
            has_row = transaction.rows("SELECT 1 FROM layers WHERE id=?", name)
            if has_row and self.is_stored(LayerId(name)):
                return self._claim(folder, row, _random_id(), transaction)  # taken by other content
            self.session.throw_away(target)  # a dead process named it but wrote no row
        os.rename(folder, target)
        trace.point("layer-renamed")
        transaction.execute("INSERT OR REPLACE INTO layers VALUES(?,?,?,?,?,?,?,?)",
                            name, *msgspec.structs.astuple(row)[1:])
        return LayerId(name)


class StagedLayer:
    """A directory on its way to become a layer; a context manager. A full disk inside the block becomes StoreFull."""

    def __init__(self, layers: Layers, folder: str) -> None:
        self._layers = layers
        self._folder = folder
        self.diff = os.path.join(folder, "diff")
        """Empty, mode 0755: becomes the layer."""
        self.work = os.path.join(folder, "work")
        """Empty: overlayfs' work directory, thrown away."""
        self._diff_id: DiffID | None = None
        self._tar_size: int | None = None
        self._is_packed = False
        """Whether a blob holds the files, and not `diff`."""
        os.mkdir(self.diff)
        os.chmod(self.diff, 0o755)
        os.mkdir(self.work, 0o700)

    def commit(self, *, diff_id: DiffID | None = None, content: str | None = None, size: int | None = None,
               description: str = "", fresh: bool = False, created: float | None = None) -> LayerId:
        """Makes it a layer, or throws it away and returns the one that is there with the same `content`, or `diff_id`.

        Give what is known: `content` whatever decides about the whole layer (a digest of it, or the key of a step),
        `size` in bytes on disk, `created` if another machine made it (seconds since the epoch). With `fresh` it takes
        the place of layers with the same `content` instead.
        """
        from builder.rooted.removing import remove_path

        if self._is_packed:
            os.rename(self.diff, os.path.join(self._folder, _ROOT))
        remove_path(self.work)
        trace.point("layer-staged")
        now = time.time()
        known = content or diff_id
        name = _derived_id(self._layers.secret, known) if known else _random_id()
        row = LayerInfo(LayerId(name), diff_id or self._diff_id, content, size, self._tar_size,
                        now if created is None else created, now, description)
        write_info(self._folder, row)
        layer = self._layers._add_layer(self._folder, row, name, fresh=fresh)
        self.discard()
        return layer

    def use_blob(self, diff_id: DiffID, tar_size: int | None) -> None:
        """The files are in a stored blob (`add_layer_blob`), and there alone until somebody looks at them.

        `diff` stays empty: it gives the layer's `/` its attributes. The blob must be pinned by a lease.
        """
        self._diff_id, self._tar_size, self._is_packed = diff_id, tar_size, True

    def reopen(self) -> None:
        """Makes it fit for another container, which goes on with the files of the one that has ended."""
        from builder.rooted.removing import remove_path

        remove_path(self.work)
        os.mkdir(self.work, 0o700)

    def clear(self) -> None:
        """Makes it empty again."""
        from builder.rooted.removing import remove_path

        remove_path(self.diff)
        os.mkdir(self.diff)
        os.chmod(self.diff, 0o755)
        self.reopen()

    def discard(self) -> None:
        """Removes what was staged; nothing after a commit that took it."""
        self._layers.session.remove_later(self._folder)

    def __enter__(self) -> StagedLayer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.discard()
        raise_if_full(self._layers.root, error)


def write_info(folder: str, row: LayerInfo) -> None:
    """Notes beside the layer what its row says, for when the index is lost."""
    write_file(os.path.join(folder, INFO_FILE), msgspec.json.encode(row), sync=False)


def _derived_id(secret: bytes, content: str) -> str:
    return blake2b(content.encode(), digest_size=8, key=secret).hexdigest()


def _random_id() -> str:
    return os.urandom(8).hex()
