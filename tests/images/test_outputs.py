"""`--output` values, as buildx and BuildKit read them."""

from __future__ import annotations

from typing import Any

import pytest

from builder.errors import InvalidValue, UsageError
from builder.images.outputs import (
    Annotation,
    AnnotationTarget,
    BadOutput,
    ImageOptions,
    Output,
    OutputType,
    parse_annotation,
)
from builder.oci import Compression
from builder.platforms import parse_platform

OCI, IMAGE, LOCAL, TAR = OutputType.OCI, OutputType.IMAGE, OutputType.LOCAL, OutputType.TAR


@pytest.mark.parametrize(("text", "output"), [
    ("out", Output(type=LOCAL, dest="out")),
    ("./out/dir", Output(type=LOCAL, dest="./out/dir")),
    ("-", Output(type=TAR, dest="-")),
    ("dest=out", Output(type=LOCAL, dest="dest=out")),
    ("type=local,dest=out", Output(type=LOCAL, dest="out")),
    ("dest=out,type=local", Output(type=LOCAL, dest="out")),
    ("type=local,dest=out,mode=delete,platform-split=false",
     Output(type=LOCAL, dest="out", delete=True, platform_split=False)),
    ("type=tar", Output(type=TAR)),
    ("type=tar,dest=-", Output(type=TAR, dest="-")),
    ("type=oci,dest=a.tar", Output(type=OCI, dest="a.tar")),
    ("type=oci,dest=dir,tar=false", Output(type=OCI, dest="dir", tar=False)),
    ("type=docker", Output(type=OutputType.DOCKER)),
    ("type=cacheonly", Output(type=OutputType.CACHEONLY)),
    ("type=image", Output(type=IMAGE)),
    ("type=image,name=a:1", Output(type=IMAGE, names=("a:1",))),
    ('type=image,"name=a:1,b:2",push=true', Output(type=IMAGE, names=("a:1", "b:2"), push=True)),
    ("type=registry,name=a", Output(type=IMAGE, names=("a",), push=True)),
    ("type=image,name=a,push=", Output(type=IMAGE, names=("a",), push=True)),
    ("type=image,name=a,push-by-digest=true,name-canonical=1,store=false,registry.insecure=T",
     Output(type=IMAGE, names=("a",), push_by_digest=True, name_canonical=True, store=False, insecure=True)),
    ("TYPE=oci,Dest=x", Output(type=OCI, dest="x")),
    ('"type=oci","dest=with ""quotes"" and,comma"', Output(type=OCI, dest='with "quotes" and,comma')),
])
def test_outputs(text: str, output: Output) -> None:
    assert Output.parse(text) == output


@pytest.mark.parametrize(("attributes", "fields"), [
    ("", {}),
    ("compression=zstd", {"compression": Compression.ZSTD}),
    ("compression=zstd,compression-level=22,force-compression=true",
     {"compression": Compression.ZSTD, "compression_level": 22, "force_compression": True}),
    ("compression=uncompressed", {"compression": Compression.UNCOMPRESSED}),
    ("oci-mediatypes=false", {"oci_mediatypes": False}),
    ("rewrite-timestamp=true,source-date-epoch=5", {"rewrite_timestamp": True, "source_date_epoch": 5}),
    ("annotation.a.b=c=d", {"annotations": (Annotation(AnnotationTarget.MANIFEST, None, "a.b", "c=d"),)}),
    ("annotation-index.K=v", {"annotations": (Annotation(AnnotationTarget.INDEX, None, "K", "v"),)}),
    ("annotation-manifest-descriptor[linux/arm64].k=v", {"annotations": (
        Annotation(AnnotationTarget.MANIFEST_DESCRIPTOR, parse_platform("linux/arm64"), "k", "v"),)}),
])
def test_image_options(attributes: str, fields: dict[str, Any]) -> None:
    text = "type=oci,dest=x" + (f",{attributes}" if attributes else "")
    assert Output.parse(text).image == ImageOptions(**fields)


@pytest.mark.parametrize(("text", "why", "hint"), [
    ("", "it is empty", None),
    ("type=oic", "unknown type `oic`", "did you mean `oci`?"),
    ("type=local", "local needs a folder: dest=PATH", None),
    ("type=local,dest=x,mode=move", "mode is `move`, neither copy nor delete", None),
    ("type=oci,tar=false", "`tar=false` needs a folder: dest=PATH", None),
    ("type=oci,dest=x,tar=maybe", "tar is `maybe`, neither true nor false", None),
    ("type=oci,dest=x,comprssion=zstd", "`oci` has no attribute `comprssion`", "did you mean `compression`?"),
    ("type=oci,compression=lzma", "unknown compression `lzma`", "known are uncompressed, gzip, zstd"),
    ("type=oci,compression=estargz", "compression estargz is not supported", "gzip and zstd are"),
    (f"type=oci,compression-level={'1' * 5000}", f"compression-level `{'1' * 5000}` is not one of gzip's (0 to 9)",
     None),
    ("type=oci,compression-level=\u0663", "compression-level `\u0663` is not one of gzip's (0 to 9)", None),
    ("type=oci,compression=uncompressed,compression-level=x",
     "compression-level `x` is not one of uncompressed's (none)", None),
    ("type=oci,source-date-epoch=1700000000000",
     "source-date-epoch `1700000000000`: its year is not between 1 and 9999", None),
    ("type=local,dest=x,source-date-epoch=1_000", "source-date-epoch `1_000` is not a number of seconds", None),
    ("type=oci,compression-level=11", "compression-level `11` is not one of gzip's (0 to 9)", None),
    ("type=oci,compression=zstd,oci-mediatypes=false", "compression zstd needs OCI media types", None),
    ("type=oci,source-date-epoch=x", "source-date-epoch `x` is not a number of seconds", None),
    ("type=oci,annotation-x.k=v", "`annotation-x.k` names no annotation",
     "write annotation.KEY=VALUE, or annotation-index.KEY=VALUE"),
])
def test_bad_outputs(text: str, why: str, hint: str | None) -> None:
    with pytest.raises(BadOutput) as failure:
        Output.parse(text)
    assert failure.value.message == f"invalid output `{text}`: {why}"
    assert failure.value.hint == hint
    assert failure.value.exit_code == 1


@pytest.mark.parametrize(("text", "message", "hint"), [
    ("type=oci,dest", "invalid value dest", None),
    ("dest=x,tar=true", "type is required for output", None),
    ('type=local,dest="a,b"', 'parse error on line 1, column 17: bare " in non-quoted-field',
     'quotes go round a whole field: "key=a,b"'),
    ('"type=local', 'parse error on line 1, column 2: extraneous or missing " in quoted-field',
     'quotes go round a whole field: "key=a,b"'),
])
def test_text_that_is_no_output_is_refused_in_dockers_words(text: str, message: str, hint: str | None) -> None:
    with pytest.raises(InvalidValue) as failure:
        Output.parse(text)
    assert (failure.value.message, failure.value.hint, failure.value.exit_code) == (message, hint, 1)


def test_defaults_are_for_images_and_for_what_they_do_not_say() -> None:
    defaults = ("compression=zstd", "compression-level=3")
    assert Output.parse("type=local,dest=d", defaults) == Output(type=LOCAL, dest="d")
    assert Output.parse("type=image,Compression=gzip", defaults).image == ImageOptions(compression_level=3)
    with pytest.raises(BadOutput) as failure:
        Output.parse("type=image", ("compression-level=11",))
    assert failure.value.message.startswith("invalid output `type=image,compression-level=11`: ")


@pytest.mark.parametrize(("text", "annotations"), [
    ("k=v", [(AnnotationTarget.MANIFEST, "", "k", "v")]),
    ("index:k=v:w", [(AnnotationTarget.INDEX, "", "k", "v:w")]),
    ("index,manifest:org.x/k=v=w", [(AnnotationTarget.INDEX, "", "org.x/k", "v=w"),
                                    (AnnotationTarget.MANIFEST, "", "org.x/k", "v=w")]),
    ("manifest[linux/arm64]:k=v", [(AnnotationTarget.MANIFEST, "linux/arm64", "k", "v")]),
    ("index[linux/amd64],manifest-descriptor[linux/arm64]:k=v", [
        (AnnotationTarget.INDEX, "linux/amd64", "k", "v"),
        (AnnotationTarget.MANIFEST_DESCRIPTOR, "linux/arm64", "k", "v")]),
    ("k=index:v", [(AnnotationTarget.MANIFEST, "", "k", "index:v")]),
])
def test_annotation_flags(text: str, annotations: list[tuple[AnnotationTarget, str, str, str]]) -> None:
    assert parse_annotation(text) == tuple(
        Annotation(target, parse_platform(platform) if platform else None, key, value)
        for target, platform, key, value in annotations)


@pytest.mark.parametrize("text", ["k", "=v", "nosuch:k=v", "index[linux/amd64:k=v", "index[]:k=v", ":k=v"])
def test_bad_annotation_flags(text: str) -> None:
    with pytest.raises(UsageError):
        parse_annotation(text)
