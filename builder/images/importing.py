"""A tar of a root file system becomes an image of one layer: `import`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from builder.golang.times import rfc3339
from builder.images.assemble import Assembler, ImageSource
from builder.images.outputs import ImageOptions
from builder.images.pull import LayerSource
from builder.layer.decompress import ByteSource
from builder.layer.unpack import on_chown_error, unpack_layer
from builder.oci import ContainerConfig, Descriptor, History, ImageConfig, Platform

if TYPE_CHECKING:
    from builder.store import Store


def import_rootfs(store: Store, source: ByteSource, layers: LayerSource, *, platform: Platform, names: tuple[str, ...],
                  config: ContainerConfig | None = None, message: str = "", what: str = "-") -> Descriptor:
    """Stores the tar (compressed or not) as an image, under full reference names or, without any, under its digest.

    Raises ImageError for what is no tar, StoreError.
    """
    config = config or ContainerConfig()
    with store.lease():
        with store.stage_layer() as staged:
            unpacked = unpack_layer(source, staged.diff, xattr_prefix=store.xattr_prefix,
                                    on_chown_error=on_chown_error(),
                                    what=f"`{what}`")
            layer = staged.commit(content=f"imported {unpacked.diff_id}", description=f"imported from {what}")
        made = History(created=rfc3339(time.time()), comment=message or f"Imported from {what}")
        image = ImageConfig(architecture=platform.architecture, os=platform.os, variant=platform.variant, config=config)
        built = Assembler(store, ImageOptions(), layers).image(
            [ImageSource(platform=platform, config=image, history=(made,), layers=(layer,))])
        for name in names or (built.descriptor.digest,):
            store.tag(name, built.descriptor, origin="imported")
        return built.descriptor
