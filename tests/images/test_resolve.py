"""Names to images: where they are looked for, which platform is chosen, what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from registry.servers import MiniRegistry, sha

from builder.errors import ImageError, RegistryError
from builder.images.errors import LayerRefused, NoMatchingPlatform, NotAnImage, NotInStore
from builder.images.resolve import Pull, Resolver
from builder.oci import Descriptor, Digest
from builder.plan.vertices import FromLayout, FromRegistry, FromStore, ResolvedImage
from builder.platforms import parse_platform
from builder.reference import Reference
from builder.registry.access import RegistryAccess
from builder.registry.errors import NotFound, Unreachable
from builder.registry.ocilayout import NotALayout, NotInLayout, OciLayout
from builder.store import Store
from images.material import CONFIG, INDEX, MANIFEST, Made, index_of, layer_tar, serve, serve_index, write_layout

AMD64 = parse_platform("linux/amd64")
LAYER = layer_tar(hello="hello\n")


def resolve(resolver: Resolver, name: str, platform: str = "linux/amd64", pull: Pull = Pull.MISSING) -> ResolvedImage:
    return resolver.resolve(Reference.parse(name), parse_platform(platform), pull=pull)


def again(store: Store, access: RegistryAccess, notes: list[str]) -> Resolver:
    """As the next build does it: nothing remembered but what is in the store."""
    return Resolver(store, access, note=notes.append)


def test_a_pulled_image_is_described_and_kept(resolver: Resolver, store: Store, mini: MiniRegistry) -> None:
    image = Made(LAYER)
    serve(mini, "app", "v1", image)
    found = resolve(resolver, f"{mini.domain}/app:v1")
    assert found.name == f"{mini.domain}/app:v1"
    assert found.digest == image.digest
    assert found.config.config.env == ("A=b",)
    assert found.config.rootfs.diff_ids == (sha(LAYER),)
    assert found.origin == FromRegistry(f"{mini.domain}/app:v1")
    row = store.get_image(f"{mini.domain}/app:v1")
    assert row is not None
    assert row.descriptor.digest == image.digest
    assert not any("/blobs/" in path and found.layers[0].digest in path for _, path, _ in mini.requests)


def test_an_unchanged_tag_costs_one_head(resolver: Resolver, store: Store, access: RegistryAccess, notes: list[str],
                                         mini: MiniRegistry) -> None:
    serve(mini, "app", "latest", Made(LAYER))
    first = resolve(resolver, f"{mini.domain}/app")
    mini.requests.clear()
    assert resolve(again(store, access, notes), f"{mini.domain}/app") == first
    assert [(method, path) for method, path, _ in mini.requests] == [("HEAD", "/v2/app/manifests/latest")]


def test_a_moved_tag_is_noticed(resolver: Resolver, store: Store, access: RegistryAccess, notes: list[str],
                                mini: MiniRegistry) -> None:
    serve(mini, "app", "t", Made(LAYER))
    resolve(resolver, f"{mini.domain}/app:t")
    other = Made(layer_tar(other="x"))
    serve(mini, "app", "t", other)
    assert resolve(again(store, access, notes), f"{mini.domain}/app:t").digest == other.digest


def test_without_the_registry_the_stored_image_serves(store: Store, notes: list[str]) -> None:
    with MiniRegistry() as server:
        serve(server, "app", "t", Made(LAYER))
        name = f"{server.domain}/app:t"
        first = resolve(again(store, RegistryAccess(), notes), name)
    access = RegistryAccess()
    assert resolve(again(store, access, notes), name) == first
    assert notes == [f"using the stored `{name}`: cannot reach registry `{server.domain}`"]
    with pytest.raises(Unreachable):
        resolve(again(store, access, notes), name, pull=Pull.ALWAYS)
    pinned = f"{server.domain}/app@{first.digest}"
    assert resolve(again(store, access, notes), pinned).digest == first.digest
    assert len(notes) == 1


def test_never_means_never(resolver: Resolver, mini: MiniRegistry) -> None:
    serve(mini, "app", "t", Made(LAYER))
    with pytest.raises(NotInStore):
        resolve(resolver, f"{mini.domain}/app:t", pull=Pull.NEVER)
    resolve(resolver, f"{mini.domain}/app:t")
    mini.requests.clear()
    resolve(resolver, f"{mini.domain}/app:t", pull=Pull.NEVER)
    assert mini.requests == []


def test_a_name_that_was_built_here_is_no_registrys_business(resolver: Resolver, store: Store,
                                                             mini: MiniRegistry) -> None:
    built, published = Made(LAYER), Made(layer_tar(published="x"))
    serve(mini, "app", "t", published)
    for data in [built.manifest, *built.blobs.values()]:
        store.put_blob(data)
    descriptor = Descriptor(media_type=MANIFEST, digest=Digest(built.digest), size=len(built.manifest))
    store.tag(f"{mini.domain}/app:t", descriptor, origin="built")
    found = resolve(resolver, f"{mini.domain}/app:t")
    assert (found.digest, found.origin) == (built.digest, FromStore())
    assert mini.requests == []
    assert resolve(resolver, f"{mini.domain}/app:t", pull=Pull.ALWAYS).digest == published.digest


def test_the_digest_wins_over_the_tag(resolver: Resolver, mini: MiniRegistry) -> None:
    image = Made(LAYER)
    serve(mini, "app", "t", image)
    assert resolve(resolver, f"{mini.domain}/app:whatever@{image.digest}").digest == image.digest


@pytest.mark.parametrize(("wanted", "chosen"), [
    ("linux/amd64", "amd64"), ("linux/arm64", "arm64"), ("linux/arm64/v8", "arm64"), ("linux/arm/v7", "arm/v6"),
    ("linux/amd64/v3", "amd64"), ("linux/386", None), ("linux/s390x", None), ("linux/arm/v5", None),
])
def test_the_platform_chooses(resolver: Resolver, mini: MiniRegistry, wanted: str, chosen: str | None) -> None:
    images = {"amd64": Made(LAYER), "arm64": Made(LAYER, architecture="arm64"),
              "arm/v6": Made(LAYER, architecture="arm", variant="v6")}
    serve_index(mini, "multi", "t", index_of(*images.values()), *images.values())
    if chosen is not None:
        assert resolve(resolver, f"{mini.domain}/multi:t", wanted).digest == images[chosen].digest
        return
    with pytest.raises(NoMatchingPlatform) as failure:
        resolve(resolver, f"{mini.domain}/multi:t", wanted)
    assert failure.value.message == f"`{mini.domain}/multi:t`: no match for platform {wanted} in manifest: not found"
    assert failure.value.notes == ("the image is for linux/amd64, linux/arm64, linux/arm/v6",)


def test_a_single_image_is_taken_whatever_its_platform(resolver: Resolver, mini: MiniRegistry) -> None:
    serve(mini, "app", "t", Made(LAYER, architecture="arm64"))
    assert resolve(resolver, f"{mini.domain}/app:t").config.architecture == "arm64"


def test_attestations_are_no_images(resolver: Resolver, mini: MiniRegistry) -> None:
    image = Made(LAYER)
    attestation = {"mediaType": MANIFEST, "digest": sha(b"attestation"), "size": 11,
                   "platform": {"architecture": "unknown", "os": "unknown"},
                   "annotations": {"vnd.docker.reference.type": "attestation-manifest"}}
    serve_index(mini, "app", "t", index_of(image, extra=(attestation,)), image)
    assert resolve(resolver, f"{mini.domain}/app:t").digest == image.digest
    with pytest.raises(NoMatchingPlatform) as failure:
        resolve(resolver, f"{mini.domain}/app:t", "linux/s390x")
    assert failure.value.notes == ("the image is for linux/amd64",)


def test_an_entry_without_platform_is_looked_into(resolver: Resolver, mini: MiniRegistry) -> None:
    amd64, arm64 = Made(LAYER), Made(LAYER, architecture="arm64")
    nested = index_of(arm64)
    entry = {"mediaType": INDEX, "digest": sha(nested), "size": len(nested)}
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [amd64.entry, entry]}).encode()
    serve_index(mini, "app", "t", index, amd64, arm64)
    mini.add_manifest("app", "nested", nested, INDEX)
    assert resolve(resolver, f"{mini.domain}/app:t").digest == amd64.digest
    assert resolve(resolver, f"{mini.domain}/app:t", "linux/arm64").digest == arm64.digest


SCHEMA1 = b'{"schemaVersion": 1, "name": "x", "tag": "t", "fsLayers": [{"blobSum": "sha256:00"}]}'


@pytest.mark.parametrize(("data", "media_type", "why"), [
    (SCHEMA1, "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1"),
    (b"<html>", MANIFEST, "not JSON"),
    (b'{"mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [], "layers": []}', INDEX, "an index at"),
    (b'{"mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}', MANIFEST, "calls itself"),
    (b'{"mediaType": "application/x-other", "layers": []}', MANIFEST, "has the type"),
])
def test_strange_manifests_are_refused(resolver: Resolver, mini: MiniRegistry, data: bytes, media_type: str,
                                       why: str) -> None:
    mini.add_manifest("app", "t", data, media_type)
    with pytest.raises(NotAnImage, match=why):
        resolve(resolver, f"{mini.domain}/app:t")


@pytest.mark.parametrize(("image", "error"), [
    (Made(LAYER, media_type="application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"), LayerRefused),
    (Made(LAYER, media_type="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"), LayerRefused),
    (Made(LAYER, media_type="application/vnd.oci.image.layer.v1.tar+gzip+encrypted"), LayerRefused),
    (Made(LAYER, media_type="application/vnd.cncf.helm.chart.content.v1.tar+gzip"), LayerRefused),
    (Made(LAYER, config={"rootfs": {"type": "layers", "diff_ids": []}}), NotAnImage),
    (Made(LAYER, config={"rootfs": {"type": "layers", "diff_ids": ["sha256:../../etc/passwd"]}}), ImageError),
    (Made(LAYER, config={"history": "x"}), ImageError),
])
def test_strange_images_are_refused(resolver: Resolver, mini: MiniRegistry, image: Made,
                                    error: type[ImageError]) -> None:
    serve(mini, "app", "t", image)
    with pytest.raises(error):
        resolve(resolver, f"{mini.domain}/app:t")


@pytest.mark.parametrize("config", [
    {"config": None}, {"config": {"Env": None, "Cmd": None, "Labels": None, "Volumes": None}}, {"history": None},
    {"author": None, "container_config": {"Image": "x"}, "docker_version": "1"},
])
def test_null_fields_are_absent(resolver: Resolver, mini: MiniRegistry, config: dict[str, Any]) -> None:
    serve(mini, "app", "t", Made(LAYER, config=config))
    assert resolve(resolver, f"{mini.domain}/app:t").config.os == "linux"


def test_a_lying_config_digest_is_refused(resolver: Resolver, mini: MiniRegistry) -> None:
    image = Made(LAYER)
    serve(mini, "app", "t", image)
    mini.blobs["app", sha(image.config)] = image.config.replace(b"A=b", b"A=c")
    with pytest.raises(RegistryError) as failure:
        resolve(resolver, f"{mini.domain}/app:t")
    assert failure.value.code == "digest-mismatch"


def test_what_nobody_has_is_not_found(resolver: Resolver, mini: MiniRegistry) -> None:
    with pytest.raises(NotFound, match="not found"):
        resolve(resolver, f"{mini.domain}/nosuch:t")


# -- layouts ---------------------------------------------------------------------------------------------------------


def test_a_layout_resolves_by_tag_digest_or_being_the_only_one(resolver: Resolver, tmp_path: Path) -> None:
    one, two = Made(LAYER), Made(layer_tar(two="2"))
    both = str(write_layout(tmp_path / "both", one, two, names=("v1", "v2")))
    assert resolver.resolve_layout(both, "v2", None, AMD64).digest == two.digest
    assert resolver.resolve_layout(both, "", Digest(one.digest), AMD64).digest == one.digest
    assert resolver.resolve_layout(both, "v1", None, AMD64).origin == FromLayout(both)
    with pytest.raises(NotInLayout) as failure:
        resolver.resolve_layout(both, "", None, AMD64)
    assert failure.value.notes == ("it has: v1, v2",)
    alone = str(write_layout(tmp_path / "alone", one, names=("docker.io/library/x:y",), key="containerd"))
    assert resolver.resolve_layout(alone, "", None, AMD64).digest == one.digest
    assert resolver.resolve_layout(alone, "y", None, AMD64).digest == one.digest


@pytest.mark.parametrize(("file", "content"), [
    ("oci-layout", None), ("oci-layout", "{}"), ("oci-layout", '{"imageLayoutVersion": "2.0.0"}'),
    ("index.json", None), ("index.json", "{"), ("index.json", '{"manifests": 3}'),
])
def test_damaged_layouts_are_refused(resolver: Resolver, tmp_path: Path, file: str, content: str | None) -> None:
    layout = write_layout(tmp_path / "layout", Made(LAYER))
    (layout / file).unlink()
    if content is not None:
        (layout / file).write_text(content)
    with pytest.raises(NotALayout):
        resolver.resolve_layout(str(layout), "latest", None, AMD64)


@pytest.mark.parametrize("change", ["size", "content", "digest", "missing"])
def test_a_layout_is_not_believed(resolver: Resolver, tmp_path: Path, change: str) -> None:
    image = Made(LAYER)
    layout = write_layout(tmp_path / "layout", image)
    blob = layout / "blobs" / "sha256" / image.digest.removeprefix("sha256:")
    index = json.loads((layout / "index.json").read_text())
    if change == "size":
        index["manifests"][0]["size"] = 10
    elif change == "content":
        blob.write_bytes(image.manifest.replace(CONFIG.encode(), b"x" * len(CONFIG)))
    elif change == "digest":
        index["manifests"][0]["digest"] = "sha256:../../../etc/passwd"
    else:
        blob.unlink()
    (layout / "index.json").write_text(json.dumps(index))
    with pytest.raises((ImageError, RegistryError)):
        resolver.resolve_layout(str(layout), "latest", None, AMD64)


def test_a_build_with_nothing_to_fetch_imports_no_http(store: Store, access: RegistryAccess, resolver: Resolver,
                                                       mini: MiniRegistry) -> None:
    serve(mini, "app", "t", Made(LAYER))
    resolve(resolver, f"{mini.domain}/app:t")
    script = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "from builder.store import Store\n"
        "from builder.images.resolve import Resolver\n"
        "from builder.images.pull import LayerSource\n"
        "from builder.registry.access import RegistryAccess\n"
        "from builder.reference import Reference\n"
        "from builder.platforms import parse_platform\n"
        "store, access = Store.open(sys.argv[1]), RegistryAccess()\n"
        "Resolver(store, access).resolve(Reference.parse(sys.argv[2]), parse_platform('linux/amd64'))\n"
        "LayerSource(store, access)\n"
        "heavy = {'urllib3', 'http.client', 'ssl', 'tarfile', 'subprocess', 'pathlib'}\n"
        "print(sorted(heavy & (set(sys.modules) - before)))\n")
    done = subprocess.run([sys.executable, "-c", script, store.root, f"{mini.domain}/app:t"], capture_output=True,
                          text=True, check=True, cwd=Path(__file__).parents[2])
    assert done.stdout == "[]\n"


def test_a_layout_names_no_files_outside_of_it(tmp_path: Path) -> None:
    layout = write_layout(tmp_path / "layout", Made(layer_tar(a="1")))
    (tmp_path / "secret").write_text("x")
    entry = {"mediaType": MANIFEST, "digest": "sha256:../../../secret", "size": 1}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    with pytest.raises(ImageError, match="is not a sha256 digest"):
        OciLayout(layout).read_document(OciLayout(layout).find("", None))
