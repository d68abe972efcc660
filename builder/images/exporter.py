"""Carrying out an output: the result of a build becomes an image, an archive, files, or a pushed name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, assert_never

import msgspec

from builder.errors import RegistryError, UsageError
from builder.golang.times import rfc3339
from builder.images.assemble import Assembler, BaseLayers, Image, ImageSource
from builder.images.documents import descriptor_fields
from builder.images.outputs import Annotation, Output, OutputType
from builder.layer.tree import FileTree
from builder.oci import Descriptor, Digest, Platform
from builder.plan.vertices import ResolvedImage
from builder.platforms import normalize
from builder.reference import Reference
from builder.registry.access import RegistryAccess

if TYPE_CHECKING:
    from builder.store import Store

Step = Callable[[str], None]
"""Called with the name of each activity before it begins: `exporting layers`."""
Trees = Callable[[int], FileTree]
"""The whole file tree of the result at a position; only asked for outputs that are files."""


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    digest: str = ""
    """Of the manifest or index; "" for outputs that are no image."""
    image_id: str = ""
    """What --iidfile holds: the config's digest for one platform, else the index's."""
    names: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}
    """What --metadata-file holds of this output."""


class Exporter:
    """Exports the results of one build, to any number of outputs."""

    def __init__(self, store: Store, registries: RegistryAccess, base_layers: BaseLayers, *,
                 step: Step = lambda text: None, note: Step = lambda text: None, now: float,
                 multi_platform: bool = False) -> None:
        """With `multi_platform` one platform is exported as several are: under an index, in a folder of its own.

        `now` is the time that an archive is said to be of; `note` receives remarks for people."""
        self._store = store
        self._registries = registries
        self._base_layers = base_layers
        self._step = step
        self._note = note
        self._now = now
        self._multi_platform = multi_platform

    def export(self, output: Output, sources: Sequence[ImageSource], trees: Trees) -> Exported:
        """Carries out one output for all platforms. Raises BuilderError."""
        match output.type:
            case OutputType.IMAGE:
                return self._image(output, sources)
            case OutputType.OCI | OutputType.DOCKER:
                return self._layout(output, sources)
            case OutputType.LOCAL | OutputType.TAR:
                return self._files(output, sources, trees)
            case OutputType.CACHEONLY:
                return Exported()
            case _:
                assert_never(output.type)

    def _image(self, output: Output, sources: Sequence[ImageSource]) -> Exported:
        image = self._assemble(output, sources)
        references = _references(output.names)
        if output.store:
            for reference in references:
                self._step(f"naming to {reference}")
                self._store.tag(str(reference), image.descriptor, origin="built")
                if output.name_canonical and not reference.digest:
                    canonical = f"{reference.name}@{image.descriptor.digest}"
                    self._store.tag(canonical, image.descriptor, origin="built")
        if output.list_name:
            from builder.images.manifestlist import add_to_list

            (name,) = _references((output.list_name,))
            self._step(f"adding to {name}")
            add_to_list(self._store, name, [manifest.descriptor for manifest in image.manifests])
        if output.push:
            for reference in references:
                self._push(output, image, reference)
        return _exported(image, image.descriptor, references)

    def _layout(self, output: Output, sources: Sequence[ImageSource]) -> Exported:
        from builder.images.outfile import Destination
        from builder.images.tarball import CREATED, named, write_archive
        from builder.images.tarball import write_folder as write_layout_folder

        if output.type is OutputType.DOCKER and (self._multi_platform or len(sources) > 1):
            raise UsageError("a docker archive cannot hold an image for several platforms",
                             hint="type=oci can, or build one platform")
        if output.type is OutputType.DOCKER and not output.dest:
            return self._image(output, sources)
        image = self._assemble(output, sources)
        references = _references(output.names)
        created = rfc3339(int(self._now) if image.epoch is None else image.epoch)
        entries = named(image.descriptor, references, created)
        self._step(f"exporting to {output.type} image format")
        fetch = self._fetch(image)
        if output.tar:
            with Destination(output.dest) as out:
                write_archive(self._store, entries, out, docker=output.type is OutputType.DOCKER, fetch=fetch)
        else:
            write_layout_folder(self._store, entries, output.dest, fetch=fetch)
        annotated = msgspec.structs.replace(
            image.descriptor, annotations={CREATED: created} | image.descriptor.annotations)
        return _exported(image, annotated, references)

    def _files(self, output: Output, sources: Sequence[ImageSource], trees: Trees) -> Exported:
        from builder.images.outfile import Destination
        from builder.images.rootfs import PlatformFiles, write_folder, write_tar

        several = self._multi_platform or len(sources) > 1
        split = several if output.platform_split is None else output.platform_split
        chosen = output.image.source_date_epoch
        results = [PlatformFiles(platform=source.platform, tree=trees(position),
                                 epoch=source.epoch if chosen is None else chosen)
                   for position, source in enumerate(sources)]
        if output.type is OutputType.LOCAL:
            self._step("exporting to client directory")
            write_folder(results, output.dest, split=split, delete=output.delete, note=self._note)
        else:
            self._step("exporting to client tarball")
            with Destination(output.dest) as out:
                write_tar(results, out, split=split)
        return Exported()

    def _assemble(self, output: Output, sources: Sequence[ImageSource]) -> Image:
        self._step("exporting layers")
        if output.image.rewrite_timestamp and all(s.epoch is None for s in sources) and (
                output.image.source_date_epoch is None):
            self._note("rewrite-timestamp has no effect without SOURCE_DATE_EPOCH")
        for platform in _useless(output.image.annotations, [source.platform for source in sources]):
            self._note(f"annotations for {platform} are left out: " + (
                "they need an image for several platforms" if len(sources) == 1 else "the image has no such platform"))
        return Assembler(self._store, output.image, self._base_layers).image(sources, index=self._multi_platform)

    def _push(self, output: Output, image: Image, reference: Reference) -> None:
        from builder.images.origins import neighbours
        from builder.images.push import push_image

        self._step(f"pushing {reference}")
        client = (self._registries.insecure(reference.domain) if output.insecure else self._registries).client
        try:
            push_image(self._store, client, image.descriptor, reference, fetch=self._fetch(image),
                       mount_from=neighbours(_base_layers(image), reference), by_digest=output.push_by_digest)
        except RegistryError as error:
            # registries have words for it, but no code: "the repository is immutable", "has enabled tag immutability"
            if not self._registries.settings.keep_immutable_tags or "immutab" not in f"{error.message} {error.cause}":
                raise
            self._note(f"`{reference.familiar}` stays as it is: {error.message}")

    def _fetch(self, image: Image) -> Callable[[Descriptor], None]:
        from builder.store.blobs import BlobMissing

        bases = _base_layers(image)

        def fetch(blob: Descriptor) -> None:
            if blob.digest not in bases:
                raise BlobMissing(blob.digest)
            self._base_layers.fetch_blob(bases[blob.digest], blob)

        return fetch


def _references(names: Sequence[str]) -> tuple[Reference, ...]:
    return tuple(dict.fromkeys(Reference.parse_tag(name).with_default_tag() for name in names))


def _base_layers(image: Image) -> dict[Digest, ResolvedImage]:
    """The layers that came with base images, each with its image."""
    return {layer.digest: manifest.base for manifest in image.manifests if manifest.base
            for layer in manifest.base.layers}


def _exported(image: Image, descriptor: Descriptor, references: Sequence[Reference]) -> Exported:
    """buildx' metadata: the descriptor as index.json has it, the config's digest for one platform, the names."""
    config_digest = image.config_digest
    metadata: dict[str, Any] = {"containerimage.descriptor": descriptor_fields(descriptor),
                                "containerimage.digest": descriptor.digest}
    if config_digest:
        metadata = {"containerimage.config.digest": config_digest} | metadata
    names = tuple(str(reference) for reference in references)
    if names:
        metadata["image.name"] = ",".join(names)
    return Exported(digest=descriptor.digest, image_id=config_digest or descriptor.digest, names=names,
                    metadata=metadata)


def _useless(annotations: Sequence[Annotation], platforms: Sequence[Platform]) -> list[Platform]:
    """The platforms that annotations name although no manifest is annotated for them; a single manifest never is."""
    annotated = {normalize(platform) for platform in platforms} if len(platforms) > 1 else set()
    return [a.platform for a in annotations if a.platform is not None and normalize(a.platform) not in annotated]
