"""Pulling and pushing images by name, reported as events; fetching the layers of an image that is about to run."""

from __future__ import annotations

import threading

from builder.images.catalog import Catalog
from builder.images.errors import NotInStore
from builder.images.manifest import PlatformImage
from builder.images.origins import neighbours, pulled_layers
from builder.images.pull import LayerSource, blob_fetcher
from builder.images.resolve import Pull, Resolver
from builder.images.summary import ImageSummary
from builder.oci import Descriptor, ImageConfig, Platform
from builder.plan.vertices import FromRegistry, FromStore, ResolvedImage, SourceImage
from builder.reference import Reference
from builder.registry.access import RegistryAccess
from builder.solver import events
from builder.solver.reporter import Progress, transfer_of
from builder.store import Store
from builder.store.images import ImageRow
from builder.store.layers import LayerId


def pull(store: Store, registries: RegistryAccess, layers: LayerSource, catalog: Catalog, name: str,
         platform: Platform, receive: events.Emit | None) -> ImageSummary:
    """Brings an image and all its layers into the store, whatever the store had under that name before."""
    progress = Progress(receive)
    reference = Reference.parse(name).with_default_tag()
    with store.lease(), progress.internal(f"pulling {reference}") as vertex:
        image = Resolver(store, registries).resolve(reference, platform, pull=Pull.ALWAYS)
        layers.ensure_layers(_source(image), progress=_transfer(progress, vertex))
        for layer in image.layers:
            layers.fetch_blob(image, layer)
    return catalog.summary(catalog.find(str(reference)), platform)


def push(store: Store, registries: RegistryAccess, layers: LayerSource, catalog: Catalog, name: str,
         receive: events.Emit | None) -> str:
    """Sends an image to the registry in its name."""
    from builder.images.push import push_image

    progress = Progress(receive)
    reference = Reference.parse(name).with_default_tag()
    with store.lease(), progress.internal(f"pushing {reference}") as vertex:
        row = catalog.find(str(reference))

        def sent(blob: Descriptor, was_sent: bool) -> None:
            progress.say(vertex, f"{blob.digest} {'pushed' if was_sent else 'already exists'}")

        return push_image(store, registries.client, row.descriptor, reference, progress=sent,
                          mount_from=neighbours(pulled_layers(store), reference), fetch=blob_fetcher(store, layers))


def layers_of(store: Store, registries: RegistryAccess, layers: LayerSource, name: str, platform: Platform,
              when: str) -> tuple[tuple[LayerId, ...], ImageConfig]:
    """The unpacked layers and the config of an image, fetched if need be; for running it."""
    try:
        row = Catalog(store).find(name) if when != "always" else None
    except NotInStore:
        row = None
    if row is not None:
        image = _stored(row, Catalog(store).describe(row, platform))
    else:
        image = Resolver(store, registries).resolve(Reference.parse(name), platform, pull=Pull(when))
    return layers.ensure_layers(_source(image)), image.config


def _stored(row: ImageRow, found: PlatformImage) -> ResolvedImage:
    origin = FromRegistry(row.origin) if "/" in row.origin else FromStore()
    return ResolvedImage(name=row.name, digest=found.descriptor.digest, config=found.config,
                         layers=found.manifest.layers, origin=origin)


def _source(image: ResolvedImage) -> SourceImage:
    return SourceImage(diff_ids=image.config.rootfs.diff_ids or (), name=image.name, digest=image.digest,
                       descriptors=image.layers, origin=image.origin)


def _transfer(progress: Progress, vertex: int) -> events.Transfer:
    started = threading.Event()
    started.set()
    return transfer_of(vertex, progress.emit, started)
