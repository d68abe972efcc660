"""--squash and --squash-all: the layers of a result become one before it is exported."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from builder.golang.times import rfc3339
from builder.images.assemble import ImageSource
from builder.oci import History
from builder.plan.stage import HISTORY_COMMENT
from builder.store import Store
from builder.store.layers import LayerId


def squashed(source: ImageSource, layers: Sequence[LayerId], how: str, store: Store) -> ImageSource:
    """`source` with one layer: of its new ones (`new`), or of all `layers` of its snapshot (`all`).

    The history keeps its entries, without layers, and gets one for the new layer. A result that is already so is
    returned as it is.
    """
    taken = tuple(layers) if how == "all" else source.layers
    if len(taken) < 2:
        return source
    base = None if how == "all" else source.base
    layer = _layer(store, taken, on_base=bool(base and base.layers))
    kept = len(base.config.history or ()) if base else 0
    emptied = [msgspec.structs.replace(entry, empty_layer=True) for entry in source.history[kept:]]
    created = None if source.epoch is None else rfc3339(source.epoch)
    entry = History(created=created, created_by=f"squash {len(taken)} layers", comment=HISTORY_COMMENT)
    return msgspec.structs.replace(source, base=base, layers=(layer,),
                                   history=(*source.history[:kept], *emptied, entry))


def _layer(store: Store, layers: Sequence[LayerId], *, on_base: bool) -> LayerId:
    from builder.layer.squash import squash

    content = f"squash {'on' if on_base else 'alone'} {' '.join(layers)}"
    known = store.find_content(content)
    if known is not None:
        return known
    with store.stage_layer() as staged:
        squash([store.layer_dir(layer) for layer in layers], staged.diff, xattr_prefix=store.xattr_prefix,
               on_base=on_base)
        return staged.commit(content=content, description="squash")
