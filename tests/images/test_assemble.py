"""Images: the bytes that BuildKit writes, what is reused, several platforms, layouts, pushing."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from registry.servers import MiniRegistry, sha

from builder.errors import UsageError
from builder.images.assemble import AnnotationRefused, ImageSource
from builder.images.exporter import Exported, Exporter
from builder.images.outfile import DestinationRefused
from builder.images.outputs import Output
from builder.images.pull import LayerSource
from builder.images.resolve import Resolver
from builder.layer.view import MergedView
from builder.oci import ContainerConfig, Digest, Healthcheck, History, ImageConfig, Platform
from builder.plan.vertices import SourceImage
from builder.platforms import parse_platform
from builder.reference import Reference
from builder.registry.access import RegistryAccess
from builder.registry.errors import NotFound
from builder.store import Store
from builder.store.layers import LayerId
from images.material import Made, layer_tar, serve

GOLDEN = Path(__file__).parents[2] / "testdata" / "export" / "buildkit"
AMD64, ARM64 = parse_platform("linux/amd64"), parse_platform("linux/arm64")
NOW = 1_700_000_000.0
Export = Callable[..., Exported]


@pytest.fixture
def export(store: Store, access: RegistryAccess, layers: LayerSource, notes: list[str]) -> Export:
    exporter = Exporter(store, access, layers, note=notes.append, now=NOW)

    def run(text: str, *sources: ImageSource) -> Exported:
        return exporter.export(Output.parse(text), sources, lambda position: MergedView(
            [store.layer_dir(layer) for layer in sources[position].layers]))

    return run


def make_layer(store: Store, mtime: int = 1_500_000_000, **files: str) -> LayerId:
    with store.stage_layer() as staged:
        for name, text in files.items():
            path = Path(staged.diff, name)
            path.write_text(text)
            os.utime(path, (mtime, mtime))
        return staged.commit()


def source_of(*layers: LayerId, platform: Platform = AMD64, **fields: Any) -> ImageSource:
    config = ImageConfig(architecture=platform.architecture, os=platform.os, variant=platform.variant,
                         config=ContainerConfig(env=("A=b",)))
    history = fields.pop("history", tuple(History(created_by=f"RUN {n}") for n in range(len(layers))))
    return ImageSource(platform=platform, config=fields.pop("config", config), history=history, layers=layers, **fields)


def members(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}  # type: ignore[union-attr]


def blob(files: dict[str, bytes], digest: str) -> bytes:
    data = files["blobs/" + digest.replace(":", "/")]
    assert sha(data) == digest
    return data


def documents(archive: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """(entry of index.json, manifest, config), digests and sizes checked."""
    files = members(archive)
    entry = json.loads(files["index.json"])["manifests"][0]
    manifest = json.loads(blob(files, entry["digest"]))
    for descriptor in [manifest["config"], *manifest["layers"]]:
        assert len(blob(files, descriptor["digest"])) == descriptor["size"]
    return entry, manifest, json.loads(blob(files, manifest["config"]["digest"]))


def golden_source(store: Store) -> ImageSource:
    """What our planner makes of the golden Dockerfile."""
    config = ImageConfig(architecture="amd64", os="linux", config=ContainerConfig(
        exposed_ports={"90/tcp": {}, "80/tcp": {}}, cmd=("/bin/sh", "-c", "echo hi"), working_dir="/",
        env=("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=b<c&d>"), args_escaped=True,
        labels={"z": "1", "a": "2"}, volumes={},
        healthcheck=Healthcheck(test=("CMD-SHELL", "true"), interval=5 * 10**9)))
    lines = ["ENV A=b<c&d>", "LABEL z=1 a=2", "EXPOSE [80/tcp 90/tcp]", "COPY Dockerfile /x # buildkit",
             'HEALTHCHECK &{["CMD-SHELL" "true"] "5s" "0s" "0s" "0s" \'\\x00\'}', 'CMD ["/bin/sh" "-c" "echo hi"]']
    history = tuple(History(created_by=line, comment="buildkit.dockerfile.v0", empty_layer=not line.startswith("COPY"))
                    for line in lines)
    layer = make_layer(store, x=(GOLDEN / "Dockerfile").read_text())
    return ImageSource(platform=AMD64, config=config, history=history, layers=(layer,), epoch=1_600_000_000)


def test_the_documents_are_buildkits_byte_for_byte(export: Export, store: Store, tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    done = export(f"type=oci,dest={archive},name=foo/bar:x,rewrite-timestamp=true", golden_source(store))
    files = members(archive)
    expected = json.loads((GOLDEN / "metadata.json").read_text())
    assert blob(files, done.image_id) == (GOLDEN / "config.json").read_bytes()
    assert done.image_id == expected["containerimage.config.digest"]
    ours, theirs = blob(files, done.digest).decode(), (GOLDEN / "manifest.json").read_text()
    layer = json.loads(ours)["layers"][0], json.loads(theirs)["layers"][0]
    as_theirs = ours.replace(layer[0]["digest"], layer[1]["digest"])  # gzip is not the same, all else is
    assert as_theirs.replace(f'"size": {layer[0]["size"]}', f'"size": {layer[1]["size"]}') == theirs
    theirs = (GOLDEN / "index.json").read_text().replace(expected["containerimage.digest"], done.digest)
    assert files["index.json"].decode() == theirs.replace('"size":562', f'"size":{len(ours)}')
    assert list(done.metadata) == sorted(expected)
    metadata = json.loads(json.dumps(done.metadata).replace(done.digest, expected["containerimage.digest"]))
    metadata["containerimage.descriptor"]["size"] = 562
    assert metadata == expected


def test_the_archive_is_containerds(export: Export, store: Store, tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    export(f"type=docker,dest={archive},name=foo", golden_source(store))
    with tarfile.open(archive) as tar:
        infos = tar.getmembers()
    assert [i.name for i in infos] == sorted(i.name for i in infos)
    assert {(i.uid, i.gid, i.uname, i.mtime) for i in infos} == {(0, 0, "", 0)}
    assert {i.name: oct(i.mode) for i in infos if "/sha256/" not in i.name} == {
        "blobs": "0o755", "blobs/sha256": "0o755", "index.json": "0o644", "manifest.json": "0o644",
        "oci-layout": "0o444"}
    element = json.loads(members(archive)["manifest.json"])[0]
    assert element["RepoTags"] == ["foo:latest"]


def test_the_same_result_gives_the_same_digest(export: Export, store: Store, tmp_path: Path) -> None:
    source = source_of(make_layer(store, a="1"), make_layer(store, b="2"))
    digests = {export(f"type=oci,dest={tmp_path}/{n}.tar", source).digest for n in range(2)}
    assert len(digests) == 1


def test_base_layers_are_reused_and_only_fetched_when_needed(
        export: Export, store: Store, resolver: Resolver, mini: MiniRegistry, tmp_path: Path) -> None:
    made = Made(layer_tar(a="1"))
    serve(mini, "base", "t", made)
    base = resolver.resolve(Reference(mini.domain, "base", "t"), AMD64)
    history = (*(base.config.history or ()), History(created_by="RUN x"))
    source = source_of(make_layer(store, b="2"), base=base, config=base.config, history=history)
    export(f"type=image,name={mini.domain}/app:t", source)
    assert not store.has_blob(base.layers[0].digest)
    archive = tmp_path / "a.tar"
    export(f"type=oci,dest={archive}", source)
    _, manifest, config = documents(archive)
    assert manifest["layers"][0]["digest"] == base.layers[0].digest
    assert config["rootfs"]["diff_ids"][0] == (base.config.rootfs.diff_ids or ())[0]
    assert config["history"][0] == {"created": "2023-11-14T22:13:20Z", "created_by": "layer 0"}
    assert config["config"] == {"Env": ["A=b"]}


@pytest.mark.parametrize(("attributes", "media_type", "magic"), [
    ("compression=gzip", "application/vnd.oci.image.layer.v1.tar+gzip", b"\x1f\x8b"),
    ("compression=gzip,compression-level=9", "application/vnd.oci.image.layer.v1.tar+gzip", b"\x1f\x8b"),
    ("compression=zstd,force-compression=true", "application/vnd.oci.image.layer.v1.tar+zstd", b"\x28\xb5\x2f\xfd"),
    ("compression=uncompressed,force-compression=true", "application/vnd.oci.image.layer.v1.tar", b"a"),
    ("oci-mediatypes=false", "application/vnd.docker.image.rootfs.diff.tar.gzip", b"\x1f\x8b"),
])
def test_compressions_and_media_types(export: Export, store: Store, resolver: Resolver, mini: MiniRegistry,
                                      tmp_path: Path, attributes: str, media_type: str, magic: bytes) -> None:
    serve(mini, "base", "t", Made(layer_tar(a="1")))
    base = resolver.resolve(Reference(mini.domain, "base", "t"), AMD64)
    archive = tmp_path / "a.tar"
    export(f"type=oci,dest={archive},{attributes}", source_of(make_layer(store, a="2"), base=base))
    _, manifest, config = documents(archive)
    assert [layer["mediaType"] for layer in manifest["layers"]] == [media_type] * 2
    files = members(archive)
    assert all(blob(files, layer["digest"]).startswith(magic) for layer in manifest["layers"])
    assert config["rootfs"]["diff_ids"][0] == (base.config.rootfs.diff_ids or ())[0]
    kind = "docker" if "oci-mediatypes" in attributes else "oci"
    assert kind in manifest["mediaType"]
    assert kind in manifest["config"]["mediaType"]


def test_times_are_rewritten_in_new_layers_only(export: Export, store: Store, resolver: Resolver, mini: MiniRegistry,
                                                tmp_path: Path, notes: list[str]) -> None:
    serve(mini, "base", "t", Made(layer_tar(a="1")))
    base = resolver.resolve(Reference(mini.domain, "base", "t"), AMD64)
    layers = make_layer(store, mtime=1_700_000_000, new="x"), make_layer(store, mtime=1_000_000_000, old="x")
    archive = tmp_path / "a.tar"
    export(f"type=oci,dest={archive},rewrite-timestamp=true", source_of(*layers, base=base, epoch=1_500_000_000))
    _, manifest, config = documents(archive)
    assert manifest["layers"][0]["digest"] == base.layers[0].digest
    files = members(archive)
    times = []
    for layer in manifest["layers"][1:]:
        with tarfile.open(fileobj=io.BytesIO(blob(files, layer["digest"]))) as tar:
            times += [member.mtime for member in tar]
    assert times == [1_500_000_000, 1_000_000_000]
    assert config["created"] == "2017-07-14T02:40:00Z"
    export(f"type=oci,dest={archive},rewrite-timestamp=true", source_of(*layers))
    assert notes == ["rewrite-timestamp has no effect without SOURCE_DATE_EPOCH"]


def test_several_platforms_make_an_index(export: Export, store: Store, tmp_path: Path) -> None:
    sources = [source_of(make_layer(store, a=str(p)), platform=p) for p in (AMD64, ARM64)]
    archive = tmp_path / "a.tar"
    done = export(f"type=oci,dest={archive},name=foo,annotation-index.i=1,annotation-manifest[linux/arm64].m=2,"
                  f"annotation-manifest-descriptor.d=3", *sources)
    files = members(archive)
    index = json.loads(blob(files, done.digest))
    assert index["annotations"] == {"i": "1"}
    assert [m["platform"]["architecture"] for m in index["manifests"]] == ["amd64", "arm64"]
    assert [m["annotations"] for m in index["manifests"]] == [{"d": "3"}] * 2
    manifests = [json.loads(blob(files, m["digest"])) for m in index["manifests"]]
    assert [m.get("annotations") for m in manifests] == [None, {"m": "2"}]
    assert done.image_id == done.digest
    assert "containerimage.config.digest" not in done.metadata
    for architecture in ("amd64", "arm64"):
        inspected = subprocess.run(["skopeo", "--override-arch", architecture, "inspect", "--config",
                                    f"oci-archive:{archive}"], check=True, capture_output=True)
        assert json.loads(inspected.stdout)["architecture"] == architecture
    with pytest.raises(UsageError):
        export(f"type=docker,dest={archive}", *sources)


def test_annotations_of_a_single_manifest(export: Export, store: Store, tmp_path: Path, notes: list[str]) -> None:
    source, archive = source_of(make_layer(store, a="1")), tmp_path / "a.tar"
    with pytest.raises(AnnotationRefused):
        export("type=image,annotation-index.a=b", source)
    export(f"type=oci,dest={archive},annotation[linux/amd64].a=b,annotation.a=c,annotation[linux/s390x].d=e", source)
    assert documents(archive)[1]["annotations"] == {"a": "c"}
    assert notes == [f"annotations for linux/{name} are left out: they need an image for several platforms"
                     for name in ("amd64", "s390x")]


def test_annotations_for_one_platform_of_several_win(export: Export, store: Store, tmp_path: Path,
                                                     notes: list[str]) -> None:
    sources = [source_of(make_layer(store, a=str(p)), platform=p) for p in (AMD64, ARM64)]
    archive = tmp_path / "a.tar"
    done = export(f"type=oci,dest={archive},annotation[linux/arm64].a=b,annotation.a=c,annotation[linux/s390x].d=e",
                  *sources)
    files = members(archive)
    index = json.loads(blob(files, done.digest))
    assert [json.loads(blob(files, m["digest"]))["annotations"] for m in index["manifests"]] == [{"a": "c"}, {"a": "b"}]
    assert notes == ["annotations for linux/s390x are left out: the image has no such platform"]


def test_an_image_without_layers(export: Export, tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    export(f"type=oci,dest={archive}", source_of(history=(History(created_by="LABEL a=b", empty_layer=True),)))
    _, manifest, config = documents(archive)
    assert (manifest["layers"], config["rootfs"]["diff_ids"], config["created"]) == ([], [], None)


def test_names_are_tagged_in_the_store(export: Export, store: Store) -> None:
    done = export('type=image,"name=foo,bar:1",name-canonical=true', source_of(make_layer(store, a="1")))
    names = ["docker.io/library/bar:1", f"docker.io/library/bar@{done.digest}", "docker.io/library/foo:latest",
             f"docker.io/library/foo@{done.digest}"]
    assert sorted(image.name for image in store.images()) == names
    assert {image.origin for image in store.images()} == {"built"}


def test_a_layout_folder_collects_images(export: Export, store: Store, tmp_path: Path) -> None:
    one, two = source_of(make_layer(store, a="1")), source_of(make_layer(store, a="2"))
    for source, attributes in ((one, ""), (one, ",name=x:1"), (two, ",name=x:2"), (two, "")):
        export(f"type=oci,dest={tmp_path}/out,tar=false{attributes}", source)
    entries = json.loads((tmp_path / "out" / "index.json").read_text())["manifests"]
    assert [e["annotations"]["org.opencontainers.image.ref.name"] for e in entries] == ["1", "2", "latest"]
    done = subprocess.run(["skopeo", "inspect", f"oci:{tmp_path}/out:latest"], check=True, capture_output=True)
    assert json.loads(done.stdout)["Digest"] == entries[2]["digest"]


def test_pushing(export: Export, store: Store, access: RegistryAccess, resolver: Resolver, registry: str) -> None:
    sources = [source_of(make_layer(store, a=str(p)), platform=p) for p in (AMD64, ARM64)]
    done = export(f"type=registry,name={registry}/team/app:v1", *sources)
    assert access.client.head_manifest(Reference(registry, "team/app", "v1")).digest == done.digest
    inspected = subprocess.run(["skopeo", "inspect", "--tls-verify=false", "--raw",
                                f"docker://{registry}/team/app:v1"], check=True, capture_output=True)
    assert sha(inspected.stdout) == done.digest
    by_digest = export(f"type=image,name={registry}/team/other,push=true,push-by-digest=true", sources[0])
    assert access.client.get_manifest(Reference(registry, "team/other", digest=Digest(by_digest.digest)))
    with pytest.raises(NotFound):
        access.client.head_manifest(Reference(registry, "team/other", "latest"))


def test_a_pushed_base_needs_no_blob_here(export: Export, store: Store, resolver: Resolver, registry: str,
                                          access: RegistryAccess, tmp_path: Path) -> None:
    export(f"type=registry,name={registry}/base:t", source_of(make_layer(store, base="x")))
    with Store.open(str(tmp_path / "other")) as other:
        base = Resolver(other, access).resolve(Reference(registry, "base", "t"), AMD64)
        exporter = Exporter(other, access, LayerSource(other, access), now=NOW)
        exporter.export(Output.parse(f"type=registry,name={registry}/derived:t"), [
            source_of(make_layer(other, b="2"), base=base)], lambda position: MergedView([]))
        assert not other.has_blob(base.layers[0].digest)
    assert len(resolver.resolve(Reference(registry, "derived", "t"), AMD64).layers) == 2


def test_an_export_that_fails_leaves_the_old_file(export: Export, store: Store, tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    archive.write_text("old")
    source = source_of(make_layer(store, a="1"))
    image = export("type=image,name=foo", source)
    manifest = json.loads(store.read_blob(Digest(image.digest)))
    Path(store.blob_path(manifest["layers"][0]["digest"])).write_text("damaged")
    with pytest.raises(Exception, match="damaged"):
        export(f"type=oci,dest={archive}", source)
    assert archive.read_text() == "old"
    assert [name for name in os.listdir(tmp_path) if "partial" in name] == []


def test_a_folder_is_no_archive(export: Export, store: Store, tmp_path: Path) -> None:
    with pytest.raises(DestinationRefused, match="it is a directory"):
        export(f"type=oci,dest={tmp_path}", source_of(make_layer(store, a="1")))


def test_a_config_keeps_only_what_it_has(export: Export, store: Store, tmp_path: Path) -> None:
    empty = ContainerConfig(env=(), cmd=(), entrypoint=(), labels={}, volumes={}, on_build=(), shell=())
    source = source_of()
    source = msgspec.structs.replace(source, config=msgspec.structs.replace(source.config, config=empty))
    archive = tmp_path / "a.tar"
    export(f"type=oci,dest={archive}", source)
    assert documents(archive)[2]["config"] == {}


def test_pulled_and_exported_again(export: Export, store: Store, resolver: Resolver, layers: LayerSource,
                                   mini: MiniRegistry, tmp_path: Path) -> None:
    made = Made(layer_tar(a="1"), layer_tar(b="2"))
    serve(mini, "base", "t", made)
    base = resolver.resolve(Reference(mini.domain, "base", "t"), AMD64)
    layers.ensure_layers(SourceImage(diff_ids=base.config.rootfs.diff_ids or (), name=base.name, digest=base.digest,
                                     descriptors=base.layers, origin=base.origin))
    mini.requests.clear()
    archive = tmp_path / "a.tar"
    export(f"type=oci,dest={archive}", source_of(base=base, history=base.config.history or ()))
    assert mini.requests == []
    assert [layer["digest"] for layer in documents(archive)[1]["layers"]] == [layer.digest for layer in base.layers]
