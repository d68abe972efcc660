from __future__ import annotations

from typing import Any

import pytest

from builder.oci import BlobForm, Compression, Digest
from builder.reference import Reference
from builder.remotecache.locations import (
    BadCacheOption,
    CacheExport,
    CacheImport,
    CacheType,
    parse_export,
    parse_import,
)

DIGEST = Digest("sha256:" + "a" * 64)
REFERENCE = Reference.parse("user/app:cache")
GITHUB = {"ACTIONS_RUNTIME_TOKEN": "x", "ACTIONS_RESULTS_URL": "http://127.0.0.1"}


@pytest.mark.parametrize(("text", "places"), [
    ("user/app:cache", [CacheImport(type=CacheType.REGISTRY, reference=REFERENCE)]),
    ("user/app", [CacheImport(type=CacheType.REGISTRY, reference=Reference.parse("user/app:latest"))]),
    ("user/app:cache,user/app", [CacheImport(type=CacheType.REGISTRY, reference=REFERENCE),
                                 CacheImport(type=CacheType.REGISTRY, reference=Reference.parse("user/app:latest"))]),
    ("type=registry,ref=user/app:cache,registry.insecure=true",
     [CacheImport(type=CacheType.REGISTRY, reference=REFERENCE, insecure=True)]),
    ("Type=local,SRC=a/b", [CacheImport(type=CacheType.LOCAL, path="a/b")]),
    (f"type=local,src=a,tag=main,digest={DIGEST}",
     [CacheImport(type=CacheType.LOCAL, path="a", tag="main", digest=DIGEST)]),
    ("type=gha,scope=x", []),
])
def test_import_places(text: str, places: list[CacheImport]) -> None:
    assert parse_import(text, {}) == tuple(places)


@pytest.mark.parametrize(("text", "fields"), [
    ("user/app:cache", {"type": CacheType.REGISTRY, "reference": REFERENCE}),
    ("type=registry,ref=user/app:cache,mode=max",
     {"type": CacheType.REGISTRY, "reference": REFERENCE, "all_steps": True}),
    ("type=local,dest=x,tag=t,compression=zstd,compression-level=3,force-compression=true,ignore-error=false",
     {"type": CacheType.LOCAL, "path": "x", "tag": "t", "form": BlobForm(Compression.ZSTD, 3),
      "force_compression": True, "ignore_error": False}),
    ("type=local,dest=x,ignore-error=true", {"type": CacheType.LOCAL, "path": "x", "ignore_error": True}),
    ("type=local,dest=x,image-manifest=false", {"type": CacheType.LOCAL, "path": "x", "image_manifest": False}),
    ("type=local,dest=x,oci-mediatypes=false",
     {"type": CacheType.LOCAL, "path": "x", "oci_mediatypes": False, "image_manifest": False}),
    ("type=inline", {"type": CacheType.INLINE}),
])
def test_export_places(text: str, fields: dict[str, Any]) -> None:
    assert parse_export(text, {}) == (CacheExport(**fields),)


@pytest.mark.parametrize(("text", "why", "hint"), [
    ("ref=x", "it has no `type`", None),
    ("type=registry", "it has no `ref`", "add ref=REPOSITORY:TAG"),
    ("type=registry,ref=a/../b", "invalid reference format: `a/../b`: invalid reference format", None),
    ("type=registry,ref=x,nope=1", "`registry` has no attribute `nope`", "known are type, ref, registry.insecure"),
    ("type=local", "src not specified for local cache import", "add src=FOLDER"),
    ("type=local,src=x,digest=sha256:12", "`sha256:12` is not a sha256 digest", None),
    ("type=inline", "there is nothing to import of type `inline`",
     "an image with an inline cache is imported with type=registry,ref=IMAGE"),
    ("type=registri,ref=x", "unknown type `registri`", "did you mean `registry`?"),
    ("type=gha", "the cache service of GitHub Actions is not supported; type=registry works there", None),
    ("type=s3,bucket=b", "caches in S3 are not supported; type=registry or type=local can take its place", None),
    ("a,b=c", "`a` is not `key=value`", None),
])
def test_bad_imports(text: str, why: str, hint: str | None) -> None:
    with pytest.raises(BadCacheOption) as failure:
        parse_import(text, GITHUB)
    assert failure.value.message == f"invalid --cache-from `{text}`: {why}"
    assert failure.value.hint == hint
    assert failure.value.exit_code == 1


@pytest.mark.parametrize(("text", "why"), [
    ("a,b", "it names several registries"),
    ("type=local", "dest not specified for local cache export"),
    ("type=registry,ref=x,mode=some", "mode is `some`, neither min nor max"),
    ("type=registry,ref=x,ignore-error=maybe", "ignore-error is `maybe`, neither true nor false"),
    ("type=registry,ref=x,oci-mediatypes=false,image-manifest=true", "image-manifest=true needs OCI media types"),
    ("type=registry,ref=x,oci-mediatypes=false,compression=zstd", "compression zstd needs OCI media types"),
    ("type=azblob,name=x",
     "caches in Azure's object store are not supported; type=registry or type=local can take its place"),
])
def test_bad_exports(text: str, why: str) -> None:
    with pytest.raises(BadCacheOption) as failure:
        parse_export(text, {})
    assert failure.value.message == f"invalid --cache-to `{text}`: {why}"
