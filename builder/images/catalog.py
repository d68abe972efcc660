"""The images of the store as people list, inspect, name and remove them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from builder.errors import BuilderError, ImageError
from builder.golang.times import parse_rfc3339
from builder.images.errors import NotInStore
from builder.images.manifest import PlatformImage, find_platform, is_attestation
from builder.images.summary import HistoryRow, ImageSummary, RemovedImage
from builder.oci import INDEX_TYPES, Descriptor, DiffID, Platform, decode_index, encode
from builder.platforms import host_platform
from builder.reference import Reference
from builder.store import Store
from builder.store.images import ImageRow

_SHORT_ID = re.compile(r"(?:sha256:)?([0-9a-f]{2,64})")


class AmbiguousId(ImageError):
    code = "ambiguous-image-id"

    def __init__(self, text: str) -> None:
        super().__init__(f"several images have ids that begin with `{text}`", hint="give more of the id")


class ImageHasNames(ImageError):
    code = "image-has-names"

    def __init__(self, text: str, names: list[str]) -> None:
        super().__init__(f"`{text}` has several names: {', '.join(names)}",
                         hint="remove them one by one, or use --force")


class Catalog:
    """Reads and names what the store has; usable from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, text: str) -> ImageRow:
        """The image that people mean by a reference, an id or the beginning of one. Raises NotInStore, AmbiguousId."""
        try:
            reference = Reference.parse(text).with_default_tag()
        except BuilderError:
            reference = None
        if reference is not None:
            if (image := self._store.get_image(str(reference))) is not None:
                return image
            if reference.digest is not None:
                for image in self._store.images():
                    if image.descriptor.digest == reference.digest:
                        return image
        return self._by_id(text)

    def describe(self, image: ImageRow, platform: Platform | None = None) -> PlatformImage:
        """Manifest and config for one platform; by default this machine's, else the first that was pulled.

        Raises ImageError, StoreError.
        """
        failure: BuilderError | None = None
        for wanted in [platform] if platform else self._shown_platforms(image.descriptor):
            try:
                return find_platform(image.name, image.descriptor, wanted,
                                     lambda descriptor: self._store.read_blob(descriptor.digest))
            except BuilderError as error:
                failure = failure or error
        raise failure or NotInStore(image.name)

    def summaries(self) -> Iterator[ImageSummary]:
        """All names, latest first; images whose documents are damaged are left out (fsck tells of them)."""
        for image in self._store.images():
            with contextlib.suppress(BuilderError):
                yield self.summary(image)

    def summary(self, image: ImageRow, platform: Platform | None = None) -> ImageSummary:
        """What a list of images shows of one name. Raises ImageError, StoreError."""
        found = self.describe(image, platform)
        return ImageSummary(
            name="" if image.name.startswith("sha256:") else Reference.parse(image.name).familiar,
            id=found.manifest.config.digest, digest=image.descriptor.digest,
            created=parse_rfc3339(found.config.created or "") or image.created,
            size=sum(self._size(diff_id, layer) for diff_id, layer in _layers(found)),
            labels=found.config.config.labels or {}, platforms=tuple(map(str, self._platforms(image.descriptor))))

    def history(self, text: str) -> list[HistoryRow]:
        """The latest entry first, each with the layer that it made."""
        found = self.describe(self.find(text))
        layers = _layers(found)
        rows = []
        for entry in found.config.history or ():
            diff_id, layer = ("", None) if entry.empty_layer else next(layers, ("", None))
            rows.append(HistoryRow(
                layer=diff_id, created=parse_rfc3339(entry.created or "") or 0.0, created_by=entry.created_by,
                size=self._size(DiffID(diff_id), layer) if layer else 0, comment=entry.comment))
        return rows[::-1]

    def inspect(self, text: str) -> dict[str, Any]:
        """As `docker image inspect` prints it."""
        image = self.find(text)
        found = self.describe(image)
        config = found.config
        same = [other for other in self._store.images() if other.descriptor.digest == image.descriptor.digest]
        names = [Reference.parse(other.name) for other in same if not other.name.startswith("sha256:")]
        fields = {field.encode_name: None if field.default in (None, ()) else field.default
                  for field in msgspec.structs.fields(type(config.config)) if field.default is not msgspec.NODEFAULT}
        last = (config.history or ())[-1:]
        return {
            "Id": found.manifest.config.digest,
            "RepoTags": sorted(name.familiar for name in names if name.tag),
            "RepoDigests": sorted({f"{name.familiar_name}@{image.descriptor.digest}" for name in names}),
            "Parent": "",
            "Comment": last[0].comment if last else "",
            "Created": config.created or "0001-01-01T00:00:00Z",
            "Author": config.author,
            "Architecture": config.architecture,
            **({"Variant": config.variant} if config.variant else {}),
            "Os": config.os,
            "Size": sum(layer.size for layer in found.manifest.layers),
            "GraphDriver": {"Data": None, "Name": "overlayfs"},
            "RootFS": {"Type": "layers", "Layers": list(config.rootfs.diff_ids or ())},
            "Metadata": {"LastTagTime": datetime.fromtimestamp(image.created, UTC).isoformat().replace("+00:00", "Z")},
            "Descriptor": msgspec.to_builtins(msgspec.structs.replace(image.descriptor, annotations={})),
            "Config": {**fields, **msgspec.json.decode(encode(config.config))},
        }

    def tag(self, source: str, target: str) -> None:
        """Gives an image another name."""
        reference = Reference.parse_tag(target).with_default_tag()
        if reference.digest is not None:
            raise ImageError(f"`{target}` has a digest, which no name to be given has", hint="write NAME:TAG")
        self._store.tag(str(reference), self.find(source).descriptor, origin="tagged")

    def remove(self, text: str, *, force: bool = False) -> RemovedImage:
        """Takes a name away, or with an id all names of the image. Raises NotInStore, ImageHasNames."""
        image = self.find(text)
        same = [other.name for other in self._store.images() if other.descriptor.digest == image.descriptor.digest]
        by_name = _is_name(text, image.name)
        if not by_name and len(same) > 1 and not force:
            raise ImageHasNames(text, same)
        gone = [image.name] if by_name else same
        for name in gone:
            self._store.untag(name)
        return RemovedImage(
            untagged=tuple(name if name.startswith("sha256:") else Reference.parse(name).familiar for name in gone),
            deleted=() if len(gone) < len(same) else (image.descriptor.digest,))

    def _by_id(self, text: str) -> ImageRow:
        match = _SHORT_ID.fullmatch(text)
        found: dict[str, ImageRow] = {}
        for image in self._store.images() if match else ():
            prefix = f"sha256:{match[1]}" if match else ""
            if image.descriptor.digest.startswith(prefix) or any(
                    digest.startswith(prefix) for digest in self._config_digests(image)):
                found.setdefault(image.descriptor.digest, image)
        if len(found) > 1:
            raise AmbiguousId(text)
        if not found:
            raise NotInStore(text, self._near(text))
        return next(iter(found.values()))

    def _near(self, text: str) -> str:
        implied = "" if ":" in text else ":latest"
        names = [Reference.parse(image.name).familiar.removesuffix(implied) for image in self._store.images()
                 if not image.name.startswith("sha256:")]
        from builder.golang.suggest import close_match

        return close_match(text, names, 0.75) or ""

    def _config_digests(self, image: ImageRow) -> list[str]:
        try:
            return [self.describe(image).manifest.config.digest]
        except BuilderError:
            return []

    def _platforms(self, descriptor: Descriptor) -> list[Platform]:
        if descriptor.media_type not in INDEX_TYPES:
            return [descriptor.platform] if descriptor.platform else []
        index = decode_index(self._store.read_blob(descriptor.digest))
        return [entry.platform for entry in index.manifests if entry.platform and not is_attestation(entry)]

    def _shown_platforms(self, descriptor: Descriptor) -> list[Platform]:
        """This machine's, then those of the image in its order: not all of them need be in the store."""
        known, here = self._platforms(descriptor), host_platform()
        return [here, *known] if not known or here in known else known

    def _size(self, diff_id: DiffID, layer: Descriptor) -> int:
        """Bytes of the layer's tar as far as known, else of its blob."""
        found = self._store.find_layer(diff_id)
        size = self._store.layer_info(found).tar_size if found else None
        return size or layer.size


def _layers(image: PlatformImage) -> Iterator[tuple[DiffID, Descriptor]]:
    return zip(image.config.rootfs.diff_ids or (), image.manifest.layers, strict=False)


def _is_name(text: str, name: str) -> bool:
    try:
        return str(Reference.parse(text).with_default_tag()) == name
    except BuilderError:
        return False
