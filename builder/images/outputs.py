"""What `--output` asks for, as a value: `type=...,dest=...,key=value`, with the field rules of buildx and BuildKit.

A bare path is `type=local,dest=PATH`, `-` is a tar on standard output, `type=registry` is an image that is pushed.
Fields are CSV as Go's encoding/csv reads it, so that a value with commas goes in quotes: `"annotation.a=b,c"`.
"""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Callable, Sequence

import msgspec

from builder.attributes import Attributes, fields_of, nearest
from builder.errors import InvalidValue, UsageError
from builder.golang.numbers import parse_integer
from builder.golang.times import FIRST_SECOND, LAST_SECOND
from builder.oci import Compression, Platform
from builder.platforms import parse_platform

_ANNOTATION = r"annotation(?:-([a-z-]+))?(?:\[([A-Za-z0-9_/-]+)\])?\.(\S+)"
_TARGET = r"([a-z-]+)(?:\[([A-Za-z0-9_/-]+)\])?"


class OutputType(enum.StrEnum):
    IMAGE = "image"
    OCI = "oci"
    DOCKER = "docker"
    LOCAL = "local"
    TAR = "tar"
    CACHEONLY = "cacheonly"


class AnnotationTarget(enum.StrEnum):
    MANIFEST = "manifest"
    MANIFEST_DESCRIPTOR = "manifest-descriptor"
    INDEX = "index"
    INDEX_DESCRIPTOR = "index-descriptor"


class Annotation(msgspec.Struct, frozen=True):
    target: AnnotationTarget
    platform: Platform | None
    """Only on the manifest of this platform in an index; None for all."""
    key: str
    value: str


class ImageOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How an image is written; the names are BuildKit's."""

    compression: Compression = Compression.GZIP
    compression_level: int | None = None
    force_compression: bool = False
    """Also repack layers that exist in another compression, those of the base included."""
    oci_mediatypes: bool = True
    rewrite_timestamp: bool = False
    source_date_epoch: int | None = None
    omit_history: bool = False
    annotations: tuple[Annotation, ...] = ()


class Output(msgspec.Struct, frozen=True, kw_only=True):
    type: OutputType
    dest: str = ""
    """A path, `-` for standard output, "" where the type needs none."""
    names: tuple[str, ...] = ()
    image: ImageOptions = ImageOptions()
    tar: bool = True
    """For oci and docker: an archive; else a layout folder."""
    list_name: str = ""
    """Of image: the list that the manifests are added to (--manifest)."""
    push: bool = False
    push_by_digest: bool = False
    insecure: bool = False
    """The registry pushed to may speak plain http or have an unknown certificate."""
    name_canonical: bool = False
    """Also name the image NAME@DIGEST."""
    store: bool = True
    platform_split: bool | None = None
    """Of local and tar: a folder for each platform; None when there are several."""
    delete: bool = False
    """Of local, `mode=delete`: remove what is in the folder and not in the result."""

    @classmethod
    def parse(cls, text: str, defaults: Sequence[str] = ()) -> Output:
        """One `--output` value; an image's has the fields of `defaults` too that it does not name itself.

        Raises BadOutput, and InvalidValue for what docker refuses in words of its own.
        """
        fields = fields_of(text)
        if fields == [text] and not text.startswith("type="):
            if text == "":
                raise BadOutput(text, "it is empty")
            return cls(type=OutputType.TAR if text == "-" else OutputType.LOCAL, dest=text)
        attributes = dict(map(_attribute, fields))
        kind = attributes.pop("type", "")
        if not kind:
            raise InvalidValue("type is required for output")
        if kind == "registry":
            kind = "image"
            attributes.setdefault("push", "true")
        if kind not in set(OutputType):
            raise BadOutput(text, f"unknown type `{kind}`", hint=nearest(kind, [*OutputType, "registry"]))
        if kind in IMAGES:
            added = [field for field in defaults if field.partition("=")[0] not in attributes]
            attributes |= dict(map(_attribute, added))
            text = ",".join([text, *added])
        return _Attributes(attributes, functools.partial(BadOutput, text)).output(OutputType(kind))

    @property
    def to_folder(self) -> bool:
        return self.type is OutputType.LOCAL or not self.tar

    @property
    def to_stdout(self) -> bool:
        return self.dest == "-" or (self.dest == "" and self.type in {OutputType.TAR, OutputType.OCI} and self.tar)


IMAGES = frozenset({OutputType.IMAGE, OutputType.OCI, OutputType.DOCKER})


def _attribute(field: str) -> tuple[str, str]:
    key, equals, value = field.partition("=")
    if not equals:
        raise InvalidValue(f"invalid value {field}")
    return (key if key.startswith("annotation") else key.strip().lower()), value


class BadOutput(UsageError):
    def __init__(self, text: str, why: str, hint: str | None = None) -> None:
        super().__init__(f"invalid output `{text}`: {why}", hint=hint)


def parse_annotation(text: str) -> tuple[Annotation, ...]:
    """One `--annotation` value, `[TYPE[PLATFORM],...:]KEY=VALUE`; the default type is `manifest`. Raises UsageError."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f'invalid annotation "{text}", expected key=value')
    targets, colon, key = name.partition(":")
    if not colon:
        targets, key = AnnotationTarget.MANIFEST, name
    return tuple(Annotation(*_target(word), key, value) for word in targets.split(","))


def _target(word: str) -> tuple[AnnotationTarget, Platform | None]:
    match = re.fullmatch(_TARGET, word)
    if match is None:
        raise UsageError(f'invalid annotation type "{word}", expected type and optional platform in square brackets')
    if match[1] not in set(AnnotationTarget):
        raise UsageError(f'unknown annotation type "{match[1]}"', hint=nearest(match[1], list(AnnotationTarget)))
    return AnnotationTarget(match[1]), parse_platform(match[2]) if match[2] else None


_NO_ATTESTATIONS = "attestations are not supported yet"


class _Attributes(Attributes):
    """The fields of one output."""

    def output(self, kind: OutputType) -> Output:
        readers: dict[OutputType, Callable[[OutputType], Output]] = {
            OutputType.IMAGE: self._image, OutputType.OCI: self._archive, OutputType.DOCKER: self._archive,
            OutputType.LOCAL: self._files, OutputType.TAR: self._files,
            OutputType.CACHEONLY: lambda kind: Output(type=kind),
        }
        output = readers[kind](kind)
        self.end(kind)
        return output

    def _image(self, kind: OutputType) -> Output:
        self._refuse_text("dangling-name-prefix", "an image without a name is known by its digest")
        for name in ("unpack", "danging-name-empty-only"):
            self._refuse_flag(name, "images are unpacked when something needs their files, and named as --tag says")
        return Output(
            type=kind, image=self._image_options(), names=self._names(), push=self.flag("push", False),
            push_by_digest=self.flag("push-by-digest", False), insecure=self.flag("registry.insecure", False),
            name_canonical=self.flag("name-canonical", False), store=self.flag("store", True))

    def _archive(self, kind: OutputType) -> Output:
        output = Output(type=kind, image=self._image_options(), names=self._names(), tar=self.flag("tar", True),
                        dest=self.take("dest") or "")
        if not output.tar and output.dest in {"", "-"}:
            raise self.refuse("`tar=false` needs a folder: dest=PATH")
        return output

    def _files(self, kind: OutputType) -> Output:
        mode = (self.take("mode") or "copy") if kind is OutputType.LOCAL else "copy"
        if mode not in {"copy", "delete"}:
            raise self.refuse(f"mode is `{mode}`, neither copy nor delete")
        split = self.take("platform-split")
        self._refuse_text("attestation-prefix", _NO_ATTESTATIONS)
        output = Output(
            type=kind, dest=self.take("dest") or "", delete=mode == "delete",
            platform_split=None if split is None else self.as_bool("platform-split", split),
            image=ImageOptions(source_date_epoch=self._epoch()))
        if kind is OutputType.LOCAL and not output.dest:
            raise self.refuse("local needs a folder: dest=PATH")
        return output

    def _image_options(self) -> ImageOptions:
        compression = self.compression()
        options = ImageOptions(
            compression=compression, compression_level=self.level(compression),
            force_compression=self.flag("force-compression", False), oci_mediatypes=self.flag("oci-mediatypes", True),
            rewrite_timestamp=self.flag("rewrite-timestamp", False), source_date_epoch=self._epoch(),
            annotations=self._annotations())
        for name in ("oci-artifact", "attestation-inline"):
            self._refuse_flag(name, _NO_ATTESTATIONS)
        self._refuse_flag("prefer-nondist-layers", "layers that must not be distributed are exported like others")
        if not options.oci_mediatypes and options.compression is Compression.ZSTD:
            raise self.refuse("compression zstd needs OCI media types")
        if not options.oci_mediatypes and any(a.target is not AnnotationTarget.MANIFEST for a in options.annotations):
            raise self.refuse("annotations need OCI media types")
        return options

    def _refuse_flag(self, name: str, why: str) -> None:
        """For what cannot be done: not asking for it is fine."""
        if self.flag(name, False):
            raise self.refuse(f"`{name}` is not supported: {why}")

    def _refuse_text(self, name: str, why: str) -> None:
        if self.take(name):
            raise self.refuse(f"`{name}` is not supported: {why}")

    def _names(self) -> tuple[str, ...]:
        return tuple(name for name in (self.take("name") or "").split(",") if name)

    def _epoch(self) -> int | None:
        text = self.take("source-date-epoch")
        if not text:
            return None
        try:
            epoch = parse_integer(text, 64)
        except ValueError:
            raise self.refuse(f"source-date-epoch `{text}` is not a number of seconds") from None
        if not FIRST_SECOND <= epoch <= LAST_SECOND:
            raise self.refuse(f"source-date-epoch `{text}`: its year is not between 1 and 9999")
        return epoch

    def _annotations(self) -> tuple[Annotation, ...]:
        found = []
        for key in [key for key in self.left if key.startswith("annotation")]:
            match = re.fullmatch(_ANNOTATION, key)
            target = (match[1] or "manifest") if match else ""
            if match is None or target not in set(AnnotationTarget):
                raise self.refuse(f"`{key}` names no annotation",
                                hint="write annotation.KEY=VALUE, or annotation-index.KEY=VALUE")
            platform = parse_platform(match[2]) if match[2] else None
            found.append(Annotation(AnnotationTarget(target), platform, match[3], self.left.pop(key)))
        return tuple(found)
