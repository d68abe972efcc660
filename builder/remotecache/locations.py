"""What --cache-from and --cache-to name, as values: `type=registry,ref=...`, with the field rules of buildx.

A value of bare words, `user/app:cache`, is a registry's reference.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterable, Mapping

import msgspec

from builder.attributes import Attributes, fields_of, nearest
from builder.errors import ImageError, UsageError
from builder.oci import BlobForm, Compression, Digest, parse_digest
from builder.reference import Reference


class CacheType(enum.StrEnum):
    """buildx' names."""

    REGISTRY = "registry"
    LOCAL = "local"
    INLINE = "inline"


_NOT_SUPPORTED = {
    "gha": "the cache service of GitHub Actions is not supported; type=registry works there",
    "s3": "caches in S3 are not supported; type=registry or type=local can take its place",
    "azblob": "caches in Azure's object store are not supported; type=registry or type=local can take its place",
}


class BadCacheOption(UsageError):
    code = "cache-place"

    def __init__(self, flag: str, text: str, why: str, hint: str | None = None) -> None:
        super().__init__(f"invalid --{flag} `{text}`: {why}", hint=hint)


class CacheImport(msgspec.Struct, frozen=True, kw_only=True):
    """A value of --cache-from: where to look steps up."""

    type: CacheType
    reference: Reference | None = None
    insecure: bool = False
    """The registry may speak plain http or have an unknown certificate."""
    path: str = ""
    tag: str = "latest"
    digest: Digest | None = None

    def __str__(self) -> str:
        return str(self.reference) if self.reference else self.path


class CacheExport(msgspec.Struct, frozen=True, kw_only=True):
    """A value of --cache-to: where to keep steps, and in what form."""

    type: CacheType
    reference: Reference | None = None
    insecure: bool = False
    path: str = ""
    tag: str = "latest"
    all_steps: bool = False
    """mode=max: those of stages that the image only copies from, too."""
    form: BlobForm = BlobForm(Compression.GZIP)
    force_compression: bool = False
    """Also repack layers that exist in another compression."""
    image_manifest: bool = True
    """A manifest of blobs; else, as older BuildKits wrote it, an index."""
    oci_mediatypes: bool = True
    ignore_error: bool = True
    """A cache that cannot be written is a warning, and the build succeeds."""

    def __str__(self) -> str:
        return str(self.reference) if self.reference else self.path


class CacheOptions(msgspec.Struct, frozen=True):
    """The remote caches of one build."""

    imports: tuple[CacheImport, ...]
    exports: tuple[CacheExport, ...]

    @property
    def is_inline(self) -> bool:
        return any(export.type is CacheType.INLINE for export in self.exports)


def parse_caches(cache_from: Iterable[CacheImport | str], cache_to: Iterable[CacheExport | str],
                 environment: Mapping[str, str], *, inline: bool = False) -> CacheOptions:
    """All values of the two flags, as text or parsed; `inline` adds an inline cache. Raises BadCacheOption."""
    imports = [one for given in cache_from
               for one in (parse_import(given, environment) if isinstance(given, str) else (given,))]
    exports = [one for given in cache_to
               for one in (parse_export(given, environment) if isinstance(given, str) else (given,))]
    if inline:
        exports.append(CacheExport(type=CacheType.INLINE))
    return CacheOptions(tuple(dict.fromkeys(imports)), tuple(exports))


def parse_import(text: str, environment: Mapping[str, str]) -> tuple[CacheImport, ...]:
    """One --cache-from value. Raises BadCacheOption."""
    refuse = functools.partial(BadCacheOption, "cache-from", text)
    found = []
    for attributes in _entries(text, refuse, environment, many=True):
        match kind := _type(attributes, refuse):
            case CacheType.REGISTRY:
                source = CacheImport(type=kind, reference=_reference(attributes),
                                     insecure=attributes.flag("registry.insecure", False))
            case CacheType.LOCAL:
                src = attributes.take("src") or ""
                if not src:
                    raise refuse("src not specified for local cache import", hint="add src=FOLDER")
                source = CacheImport(type=kind, path=src, tag=attributes.take("tag") or "latest",
                                     digest=_digest(attributes))
            case _:
                raise refuse(f"there is nothing to import of type `{kind}`",
                             hint="an image with an inline cache is imported with type=registry,ref=IMAGE")
        attributes.end(kind)
        found.append(source)
    return tuple(found)


def parse_export(text: str, environment: Mapping[str, str]) -> tuple[CacheExport, ...]:
    """One --cache-to value. Raises BadCacheOption."""
    refuse = functools.partial(BadCacheOption, "cache-to", text)
    found = []
    for attributes in _entries(text, refuse, environment, many=False):
        kind = _type(attributes, refuse)
        export = CacheExport(type=kind)
        if kind is CacheType.REGISTRY:
            export = CacheExport(type=kind, reference=_reference(attributes),
                                insecure=attributes.flag("registry.insecure", False))
        elif kind is CacheType.LOCAL:
            export = CacheExport(type=kind, path=attributes.take("dest") or "", tag=attributes.take("tag") or "latest")
            if not export.path:
                raise refuse("dest not specified for local cache export", hint="add dest=FOLDER")
        found.append(_in_form(export, attributes, inline=kind is CacheType.INLINE))
        attributes.end(kind)
    return tuple(found)


def _in_form(export: CacheExport, attributes: Attributes, *, inline: bool) -> CacheExport:
    mode = (attributes.take("mode") or "min").lower()
    if mode not in {"min", "max"}:
        raise attributes.refuse(f"mode is `{mode}`, neither min nor max")
    ignore_error = attributes.flag("ignore-error", True)
    if inline:
        return msgspec.structs.replace(export, ignore_error=ignore_error)
    oci = attributes.flag("oci-mediatypes", True)
    compression = attributes.compression()
    form = BlobForm(compression, attributes.level(compression))
    export = msgspec.structs.replace(
        export, all_steps=mode == "max", ignore_error=ignore_error, oci_mediatypes=oci, form=form,
        image_manifest=attributes.flag("image-manifest", oci),
        force_compression=attributes.flag("force-compression", False))
    if not oci and (export.image_manifest or compression is Compression.ZSTD):
        what = "image-manifest=true" if export.image_manifest else "compression zstd"
        raise attributes.refuse(f"{what} needs OCI media types")
    return export


def _entries(text: str, refuse: functools.partial[BadCacheOption], environment: Mapping[str, str], *,
             many: bool) -> list[Attributes]:
    fields = fields_of(text, refuse)
    if all("=" not in field for field in fields):
        if not many and len(fields) > 1:
            raise refuse("it names several registries", hint="give --cache-to once for each")
        return [Attributes({"type": "registry", "ref": field}, refuse) for field in fields]
    attributes: dict[str, str] = {}
    for field in fields:
        key, equals, value = field.partition("=")
        if not equals:
            raise refuse(f"`{field}` is not `key=value`")
        attributes[key.strip().lower()] = value
    kind = attributes.get("type", "")
    if not kind:
        raise refuse("it has no `type`")
    if kind == "gha" and not _on_github(attributes, environment):
        return []  # as with buildx: the same file builds outside GitHub Actions
    if kind in _NOT_SUPPORTED:
        raise refuse(_NOT_SUPPORTED[kind])
    return [Attributes(attributes, refuse)]


def _on_github(attributes: Mapping[str, str], environment: Mapping[str, str]) -> bool:
    token = attributes.get("token") or environment.get("ACTIONS_RUNTIME_TOKEN")
    urls = ("ACTIONS_CACHE_URL", "ACTIONS_RESULTS_URL")
    return bool(token) and bool(attributes.get("url") or any(map(environment.get, urls)))


def _type(attributes: Attributes, refuse: functools.partial[BadCacheOption]) -> CacheType:
    kind = attributes.take("type") or ""
    if kind not in set(CacheType):
        raise refuse(f"unknown type `{kind}`", hint=nearest(kind, list(CacheType)))
    return CacheType(kind)


def _reference(attributes: Attributes) -> Reference:
    text = attributes.take("ref") or ""
    if not text:
        raise attributes.refuse("it has no `ref`", hint="add ref=REPOSITORY:TAG")
    try:
        return Reference.parse(text).with_default_tag()
    except ImageError as error:
        raise attributes.refuse(error.message) from None


def _digest(attributes: Attributes) -> Digest | None:
    text = attributes.take("digest")
    try:
        return parse_digest(text) if text else None
    except ImageError as error:
        raise attributes.refuse(error.message) from None
