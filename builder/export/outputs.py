"""What `--output` asks for, as a value: `type=...,dest=...,key=value`, with the field rules of buildx and BuildKit.

A bare path is `type=local,dest=PATH`, `-` is a tar on standard output, `type=registry` is an image that is pushed.
Fields are CSV as Go's encoding/csv reads it, so that a value with commas goes in quotes: `"annotation.a=b,c"`.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable

import msgspec

from builder.errors import UsageError
from builder.oci import Compression, Platform
from builder.platforms import parse_platform

_ANNOTATION = re.compile(r"annotation(?:-([a-z-]+))?(?:\[([A-Za-z0-9_/-]+)\])?\.(\S+)")
_FLAG = re.compile(r"(?:([a-z-]+(?:\[[A-Za-z0-9_/-]+\])?(?:,[a-z-]+(?:\[[A-Za-z0-9_/-]+\])?)*):)?([^=\s]+)=(.*)",
                   re.DOTALL)
_LEVELS = {Compression.UNCOMPRESSED: range(0), Compression.GZIP: range(10), Compression.ZSTD: range(23)}
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


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
    """Only on the manifest of this platform; None for all."""
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


class BadOutput(UsageError):
    def __init__(self, text: str, why: str, hint: str | None = None) -> None:
        super().__init__(f"invalid output `{text}`: {why}", hint=hint)


def parse_output(text: str) -> Output:
    """One `--output` value. Raises BadOutput."""
    fields = _csv_fields(text)
    if fields == [text] and not text.startswith("type="):
        if text == "":
            raise BadOutput(text, "it is empty")
        return Output(type=OutputType.TAR if text == "-" else OutputType.LOCAL, dest=text)
    attributes: dict[str, str] = {}
    for field in fields:
        key, equals, value = field.partition("=")
        if not equals:
            raise BadOutput(text, f"`{field}` is not `key=value`")
        key = key if key.startswith("annotation") else key.strip().lower()
        attributes[key] = value
    kind = attributes.pop("type", "")
    if not kind:
        raise BadOutput(text, "it has no `type`")
    if kind == "registry":
        kind = "image"
        attributes.setdefault("push", "true")
    if kind not in set(OutputType):
        raise BadOutput(text, f"unknown type `{kind}`", hint=_nearest(kind, [*OutputType, "registry"]))
    return _Attributes(text, attributes).output(OutputType(kind))


def parse_annotation(text: str) -> tuple[Annotation, ...]:
    """One `--annotation` value, `[TYPE[PLATFORM],...:]KEY=VALUE`; the default type is `manifest`. Raises BadOutput."""
    match = _FLAG.fullmatch(text)
    if match is None:
        raise BadOutput(text, "an annotation is written KEY=VALUE or TYPE:KEY=VALUE")
    found = []
    for part in (match[1] or "manifest").split(","):
        name, _, platform = part.rstrip("]").partition("[")
        if name not in set(AnnotationTarget):
            raise BadOutput(text, f"unknown type `{name}`", hint=_nearest(name, list(AnnotationTarget)))
        target = AnnotationTarget(name)
        if platform and target in {AnnotationTarget.INDEX, AnnotationTarget.INDEX_DESCRIPTOR}:
            raise BadOutput(text, "an index has no platform")
        found.append(Annotation(target, parse_platform(platform) if platform else None, match[2], match[3]))
    return tuple(found)


class _Attributes:
    """The fields of one output, each taken once; what is left over is unknown."""

    def __init__(self, text: str, attributes: dict[str, str]) -> None:
        self._text = text
        self._left = attributes
        self._known: list[str] = []

    def output(self, kind: OutputType) -> Output:
        readers: dict[OutputType, Callable[[OutputType], Output]] = {
            OutputType.IMAGE: self._image, OutputType.OCI: self._archive, OutputType.DOCKER: self._archive,
            OutputType.LOCAL: self._files, OutputType.TAR: self._files,
            OutputType.CACHEONLY: lambda kind: Output(type=kind),
        }
        output = readers[kind](kind)
        if self._left:
            name = next(iter(self._left))
            raise BadOutput(self._text, f"`{kind}` has no attribute `{name}`", hint=_nearest(name, self._known))
        return output

    def _image(self, kind: OutputType) -> Output:
        output = Output(
            type=kind, image=self._image_options(), names=self._names(), push=self._bool("push", False),
            push_by_digest=self._bool("push-by-digest", False), insecure=self._bool("registry.insecure", False),
            name_canonical=self._bool("name-canonical", False), store=self._bool("store", True))
        for containerd_only in ("unpack", "dangling-name-prefix", "danging-name-empty-only"):
            self._take(containerd_only)
        if output.push_by_digest and any(":" in name.rpartition("/")[2] for name in output.names):
            raise BadOutput(self._text, "a name with a tag cannot be pushed by digest")
        if output.push and not output.names:
            raise BadOutput(self._text, "there is no name to push to", hint="add name=REPOSITORY:TAG, or --tag")
        return output

    def _archive(self, kind: OutputType) -> Output:
        output = Output(type=kind, image=self._image_options(), names=self._names(), tar=self._bool("tar", True),
                        dest=self._take("dest") or "")
        if not output.tar and output.dest in {"", "-"}:
            raise BadOutput(self._text, "`tar=false` needs a folder: dest=PATH")
        return output

    def _files(self, kind: OutputType) -> Output:
        mode = (self._take("mode") or "copy") if kind is OutputType.LOCAL else "copy"
        if mode not in {"copy", "delete"}:
            raise BadOutput(self._text, f"mode is `{mode}`, neither copy nor delete")
        split = self._take("platform-split")
        self._take("attestation-prefix")
        output = Output(
            type=kind, dest=self._take("dest") or "", delete=mode == "delete",
            platform_split=None if split is None else self._as_bool("platform-split", split),
            image=ImageOptions(source_date_epoch=self._epoch()))
        if kind is OutputType.LOCAL and not output.dest:
            raise BadOutput(self._text, "local needs a folder: dest=PATH")
        return output

    def _image_options(self) -> ImageOptions:
        name = self._take("compression") or "gzip"
        if name == "estargz":
            raise BadOutput(self._text, "compression estargz is not supported", hint="gzip and zstd are")
        if name not in set(Compression):
            raise BadOutput(self._text, f"unknown compression `{name}`", hint=_nearest(name, list(Compression)))
        options = ImageOptions(
            compression=Compression(name), compression_level=self._level(Compression(name)),
            force_compression=self._bool("force-compression", False), oci_mediatypes=self._bool("oci-mediatypes", True),
            rewrite_timestamp=self._bool("rewrite-timestamp", False), source_date_epoch=self._epoch(),
            annotations=self._annotations())
        for attestation_only in ("oci-artifact", "attestation-inline", "prefer-nondist-layers"):
            self._bool(attestation_only, False)
        if not options.oci_mediatypes and options.compression is Compression.ZSTD:
            raise BadOutput(self._text, "compression zstd needs OCI media types")
        if not options.oci_mediatypes and any(a.target is not AnnotationTarget.MANIFEST for a in options.annotations):
            raise BadOutput(self._text, "annotations need OCI media types")
        return options

    def _names(self) -> tuple[str, ...]:
        return tuple(name for name in (self._take("name") or "").split(",") if name)

    def _level(self, compression: Compression) -> int | None:
        text = self._take("compression-level")
        if text is None:
            return None
        if not text.isdecimal() or int(text) not in _LEVELS[compression]:
            levels = _LEVELS[compression]
            allowed = f"0 to {levels.stop - 1}" if levels else "none"
            raise BadOutput(self._text, f"compression-level `{text}` is not one of {compression}'s ({allowed})")
        return int(text)

    def _epoch(self) -> int | None:
        text = self._take("source-date-epoch")
        if not text:
            return None
        try:
            return int(text)
        except ValueError:
            raise BadOutput(self._text, f"source-date-epoch `{text}` is not a number of seconds") from None

    def _annotations(self) -> tuple[Annotation, ...]:
        found = []
        for key in [key for key in self._left if key.startswith("annotation")]:
            match = _ANNOTATION.fullmatch(key)
            target = (match[1] or "manifest") if match else ""
            if match is None or target not in set(AnnotationTarget):
                raise BadOutput(self._text, f"`{key}` names no annotation",
                                hint="write annotation.KEY=VALUE, or annotation-index.KEY=VALUE")
            platform = parse_platform(match[2]) if match[2] else None
            found.append(Annotation(AnnotationTarget(target), platform, match[3], self._left.pop(key)))
        return tuple(found)

    def _bool(self, name: str, default: bool) -> bool:
        value = self._take(name)
        return default if value is None else self._as_bool(name, value)

    def _as_bool(self, name: str, value: str) -> bool:
        if value not in _TRUE | _FALSE | {""}:
            raise BadOutput(self._text, f"{name} is `{value}`, neither true nor false")
        return value not in _FALSE

    def _take(self, name: str) -> str | None:
        self._known.append(name)
        return self._left.pop(name, None)


def _csv_fields(text: str) -> list[str]:
    """The fields of one CSV record, quotes as encoding/csv has them. Raises BadOutput."""
    fields: list[str] = []
    rest = text
    while True:
        if rest.startswith('"'):
            match = re.match(r'"((?:[^"]|"")*)"(?=,|$)', rest)
            if match is None:
                raise BadOutput(text, "a quoted field does not end where it should")
            fields.append(match[1].replace('""', '"'))
            rest = rest[match.end():]
        else:
            field, comma, after = rest.partition(",")
            if '"' in field:
                raise BadOutput(text, 'a `"` inside a field', hint="put the quotes round the whole field: \"key=a,b\"")
            fields.append(field)
            rest = comma + after
        if not rest:
            return fields
        rest = rest[1:]


def _nearest(word: str, known: list[str]) -> str | None:
    import difflib

    close = difflib.get_close_matches(word, known, 1)
    return f"did you mean `{close[0]}`?" if close else f"known are {', '.join(known)}"
