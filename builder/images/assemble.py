"""Assembling images: layers become blobs, then a config, a manifest, and for several platforms an index, all stored.

What the base image brought is reused as it is: its blobs, its descriptors, its annotations on them. The same input
gives the same digests, for the times in an image are those of its layers or SOURCE_DATE_EPOCH.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from builder.errors import ImageError
from builder.golang.times import rfc3339
from builder.images.documents import config_bytes, index_bytes, manifest_bytes
from builder.images.history import LayerOrigin, complete_history, created_at
from builder.images.layerblobs import layer_blob, recompressed
from builder.images.outputs import AnnotationTarget, ImageOptions
from builder.oci import Compression, Descriptor, Digest, History, ImageConfig, LayerBlob, MediaType, Platform
from builder.plan.vertices import ResolvedImage
from builder.platforms import normalize
from builder.store.layers import LayerId

if TYPE_CHECKING:
    from builder.store import Store

_OCI = {MediaType.DOCKER_LAYER: MediaType.OCI_LAYER, MediaType.DOCKER_LAYER_GZIP: MediaType.OCI_LAYER_GZIP,
        MediaType.DOCKER_LAYER_ZSTD: MediaType.OCI_LAYER_ZSTD}
_DOCKER = {oci: docker for docker, oci in _OCI.items()}
_COMPRESSIONS = {MediaType.OCI_LAYER: Compression.UNCOMPRESSED, MediaType.OCI_LAYER_GZIP: Compression.GZIP,
                 MediaType.OCI_LAYER_ZSTD: Compression.ZSTD}
_REWRITTEN = "buildkit/rewritten-timestamp"
_INTERNAL_ANNOTATIONS = ("containerd.io/uncompressed", "containerd.io/distribution.source.", "buildkit/createdat")


class BaseLayers(Protocol):
    """Fetches what an image in the store lacks; base layers are only fetched when something needs them."""

    def fetch_blob(self, image: ResolvedImage, descriptor: Descriptor) -> None:
        """Makes the blob part of the store. Idempotent. Raises RegistryError, ImageError."""
        ...


class ImageSource(msgspec.Struct, frozen=True, kw_only=True):
    """What a build made for one platform."""

    platform: Platform
    config: ImageConfig
    """Without `rootfs` and `created`."""
    history: tuple[History, ...]
    """That of the base included."""
    layers: tuple[LayerId, ...]
    """On top of the base's layers, bottom first."""
    base: ResolvedImage | None = None
    epoch: int | None = None
    annotations: Mapping[str, str] = {}
    """Of the manifest; those of ImageOptions take their places."""
    steps: Mapping[str, int] = {}
    """For an inline cache: keys of steps, and how many of the image's layers lie below that of each."""


class PlatformManifest(msgspec.Struct, frozen=True, kw_only=True):
    descriptor: Descriptor
    """Of the manifest, with platform."""
    config: Descriptor
    layers: tuple[Descriptor, ...]
    base: ResolvedImage | None
    """Where layers come from whose blobs are not in the store."""


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """A stored image without a name."""

    descriptor: Descriptor
    """Of the index, or of the only manifest."""
    manifests: tuple[PlatformManifest, ...]
    epoch: int | None

    @property
    def config_digest(self) -> Digest | None:
        """Of an image for one platform: what docker calls the image id."""
        return None if self.is_index else self.manifests[0].config.digest

    @property
    def is_index(self) -> bool:
        return self.descriptor.digest != self.manifests[0].descriptor.digest


_OF_INDEX = frozenset({AnnotationTarget.INDEX, AnnotationTarget.INDEX_DESCRIPTOR})


class AnnotationRefused(ImageError):
    code = "annotation"

    def __init__(self, why: str) -> None:
        super().__init__(f"cannot annotate the image: {why}")


class Assembler:
    """Makes images of one kind. Making an image twice is free of cost and gives the same one."""

    def __init__(self, store: Store, options: ImageOptions, base_layers: BaseLayers) -> None:
        self._store = store
        self._options = options
        self._base_layers = base_layers

    def image(self, sources: Sequence[ImageSource], *, index: bool = False) -> Image:
        """The image of all sources; an index if there are several or if `index` asks for it.

        Raises AnnotationRefused, StoreError, and what fetching base layers raises.
        """
        is_index = index or len(sources) > 1
        if not is_index and any(a.target in _OF_INDEX for a in self._options.annotations):
            raise AnnotationRefused("an image for a single platform has no index")
        manifests = tuple(self._manifest(source, source.platform if is_index else None) for source in sources)
        epoch = self._epoch(sources[0])
        if not is_index:
            return Image(descriptor=manifests[0].descriptor, manifests=manifests, epoch=epoch)
        oci = self._options.oci_mediatypes
        data = index_bytes([m.descriptor for m in manifests], self._annotations(AnnotationTarget.INDEX), oci=oci)
        descriptor = Descriptor(
            media_type=MediaType.OCI_INDEX if oci else MediaType.DOCKER_LIST, digest=self._store.put_blob(data),
            size=len(data), annotations=self._annotations(AnnotationTarget.INDEX_DESCRIPTOR))
        return Image(descriptor=descriptor, manifests=manifests, epoch=epoch)

    def _manifest(self, source: ImageSource, platform: Platform | None) -> PlatformManifest:
        """`platform` says whose annotations it gets beside those for all."""
        oci = self._options.oci_mediatypes
        layers = [msgspec.structs.replace(layer, descriptor=exported_descriptor(layer.descriptor, oci=oci))
                  for layer in (*self._base(source), *self._new(source))]
        epoch = self._epoch(source)
        history = complete_history(source.history, self._origins(source), epoch=epoch,
                                   base=source.base.config.history or () if source.base else ())
        descriptors = tuple(layer.descriptor for layer in layers)
        config = config_bytes(source.config, [layer.diff_id for layer in layers],
                              () if self._options.omit_history else history, created_at(history),
                              _inline_cache(source.steps, layers))
        config_descriptor = Descriptor(media_type=MediaType.OCI_CONFIG if oci else MediaType.DOCKER_CONFIG,
                                       digest=self._store.put_blob(config), size=len(config))
        annotations = {**source.annotations, **self._annotations(AnnotationTarget.MANIFEST, platform)}
        manifest = manifest_bytes(config_descriptor, descriptors, annotations, oci=oci)
        descriptor = Descriptor(
            media_type=MediaType.OCI_MANIFEST if oci else MediaType.DOCKER_MANIFEST,
            digest=self._store.put_blob(manifest), size=len(manifest), platform=normalize(source.platform),
            annotations=self._annotations(AnnotationTarget.MANIFEST_DESCRIPTOR, platform))
        return PlatformManifest(descriptor=descriptor, config=config_descriptor, layers=descriptors, base=source.base)

    def _base(self, source: ImageSource) -> list[LayerBlob]:
        base = source.base
        if base is None:
            return []
        wanted = self._options.compression
        found = []
        for position, diff_id in enumerate(base.config.rootfs.diff_ids or ()):
            layer = LayerBlob(descriptor=base.layers[position], diff_id=diff_id)
            if self._options.force_compression and _compression(layer.descriptor) is not wanted:
                self._base_layers.fetch_blob(base, layer.descriptor)
                layer = recompressed(self._store, layer, wanted, self._options.compression_level)
            found.append(layer)
        return found

    def _new(self, source: ImageSource) -> list[LayerBlob]:
        options = self._options
        clamp = self._epoch(source) if options.rewrite_timestamp else None
        packed = [layer_blob(self._store, layer, options.compression, level=options.compression_level,
                             clamp_mtime=clamp) for layer in source.layers]
        marks = {} if clamp is None else {_REWRITTEN: str(clamp)}
        return [msgspec.structs.replace(layer, descriptor=msgspec.structs.replace(layer.descriptor, annotations=marks))
                for layer in packed]

    def _origins(self, source: ImageSource) -> list[LayerOrigin]:
        base = source.base
        below = [LayerOrigin(base.config.created, f"pulled from {base.name}")] * len(base.layers) if base else []
        infos = [self._store.layer_info(layer) for layer in source.layers]
        return below + [LayerOrigin(rfc3339(info.created), info.description) for info in infos]

    def _epoch(self, source: ImageSource) -> int | None:
        chosen = self._options.source_date_epoch
        return source.epoch if chosen is None else chosen

    def _annotations(self, target: AnnotationTarget, platform: Platform | None = None) -> dict[str, str]:
        """Those for one platform come after those for all, which they replace."""
        wanted = [a for a in self._options.annotations if a.target is target]
        return {a.key: a.value for a in sorted(wanted, key=lambda a: a.platform is not None)
                if a.platform is None or target in _OF_INDEX or (
                    platform is not None and normalize(a.platform) == normalize(platform))}


def _inline_cache(steps: Mapping[str, int], layers: Sequence[LayerBlob]) -> dict[str, msgspec.Raw]:
    """The config's field that says which layer is which step's."""
    if not steps:
        return {}
    from builder.cache.cacheconfig import INLINE_KEY, encode_steps

    return {INLINE_KEY: msgspec.Raw(encode_steps({key: layers[position] for key, position in steps.items()}))}


def _compression(descriptor: Descriptor) -> Compression | None:
    return _COMPRESSIONS.get(MediaType(_OCI.get(MediaType(descriptor.media_type), descriptor.media_type)))


def exported_descriptor(layer: Descriptor, *, oci: bool) -> Descriptor:
    """A layer's descriptor as a manifest of OCI's or Docker's types has it; Docker's have no annotations."""
    media_type = MediaType(layer.media_type)
    annotations = {key: value for key, value in layer.annotations.items() if not key.startswith(_INTERNAL_ANNOTATIONS)}
    return Descriptor(media_type=(_OCI if oci else _DOCKER).get(media_type, media_type), digest=layer.digest,
                      size=layer.size, annotations=annotations if oci else {})
