"""save, load, import: archives of docker's form and OCI layouts, ours and other tools'."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from registry.servers import MiniRegistry, sha

from builder.errors import BuilderError
from builder.images.errors import NotAnImage, NotInStore
from builder.images.importing import import_rootfs
from builder.images.load import LoadedImage, load_archive, load_folder
from builder.images.pull import LayerSource
from builder.images.resolve import Resolver
from builder.images.save import save_images
from builder.oci import ContainerConfig
from builder.plan.vertices import FromStore
from builder.platforms import parse_platform
from builder.reference import Reference
from builder.registry.ocilayout import OciLayout
from builder.store import Store
from images.material import INDEX, Made, index_of, layer_tar, serve_index, write_layout
from images.test_pull import source_of

AMD64 = parse_platform("linux/amd64")
LAYER = layer_tar(hello="hello\n")
NAME = "docker.io/library/app:v1"


def tar_of(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return out.getvalue()


def docker_archive(image: Made, *layers: bytes, tags: tuple[str, ...] = ("app:v1",)) -> dict[str, bytes]:
    files = {f"{n}/layer.tar": layer for n, layer in enumerate(layers)}
    config = f"{sha(image.config)[7:]}.json"
    manifest = [{"Config": config, "RepoTags": list(tags), "Layers": list(files)}]
    return {**files, config: image.config, "manifest.json": json.dumps(manifest).encode()}


def layout_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def load(store: Store, files: dict[str, bytes], links: dict[str, str] | None = None) -> tuple[LoadedImage, ...]:
    return load_archive(store, io.BytesIO(tar_of(files, links)), "image.tar")


def test_a_docker_archive(store: Store, resolver: Resolver, layers: LayerSource) -> None:
    (loaded,) = load(store, docker_archive(Made(LAYER), LAYER, tags=("app:v1", "127.0.0.1:1/other")))
    assert loaded.names == (NAME, "127.0.0.1:1/other:latest")
    image = resolver.resolve(Reference.parse("app:v1"), AMD64)
    assert image.origin == FromStore()
    (layer,) = layers.ensure_layers(source_of(image))
    assert Path(store.layer_dir(layer), "hello").read_text() == "hello\n"
    assert load(store, docker_archive(Made(LAYER), LAYER))[0].descriptor == loaded.descriptor


def test_docker_archives_link_layers_to_each_other(store: Store) -> None:
    image = Made(LAYER, LAYER)
    files = docker_archive(image, LAYER)
    document = json.loads(files["manifest.json"])
    document[0]["Layers"].append("1/layer.tar")
    files["manifest.json"] = json.dumps(document).encode()
    (loaded,) = load(store, files, {"1/layer.tar": "../0/layer.tar"})
    assert loaded.names == (NAME,)


@pytest.mark.parametrize("pack", [lambda data: data, gzip.compress, bz2.compress, lzma.compress])
def test_archives_may_be_compressed(store: Store, pack: Callable[[bytes], bytes]) -> None:
    data = pack(tar_of(docker_archive(Made(LAYER), LAYER)))
    (loaded,) = load_archive(store, io.BytesIO(data))
    assert loaded.names == (NAME,)


@pytest.mark.parametrize(("key", "name", "names"), [
    ("containerd", NAME, (NAME,)), ("ref.name", "app:v1", (NAME,)), ("ref.name", "v1", ()),
])
def test_an_oci_archive(store: Store, tmp_path: Path, key: str, name: str, names: tuple[str, ...]) -> None:
    image = Made(LAYER)
    (loaded,) = load(store, layout_files(write_layout(tmp_path / "layout", image, names=(name,), key=key)))
    assert (loaded.descriptor.digest, loaded.names) == (image.digest, names)
    assert store.get_image(names[0] if names else image.digest) is not None


def test_a_layout_folder(store: Store, tmp_path: Path, resolver: Resolver, layers: LayerSource) -> None:
    layout = write_layout(tmp_path / "layout", Made(LAYER), names=(NAME,), key="containerd")
    load_folder(store, OciLayout(layout))
    shutil.rmtree(layout)
    assert len(layers.ensure_layers(source_of(resolver.resolve(Reference.parse(NAME), AMD64)))) == 1


@pytest.mark.parametrize("docker", [True, False])
def test_what_is_saved_can_be_loaded_by_us_and_by_skopeo(store: Store, layers: LayerSource, tmp_path: Path,
                                                         docker: bool) -> None:
    load(store, docker_archive(Made(LAYER), LAYER))
    archive = tmp_path / "saved.tar"
    with archive.open("wb") as out:
        save_images(store, ["app:v1"], out, layers, docker=docker)
    with Store.open(str(tmp_path / "other")) as other, archive.open("rb") as file:
        (loaded,) = load_archive(other, file)
        assert loaded.names == (NAME,)
    kind = "docker-archive" if docker else "oci-archive"
    done = subprocess.run(["skopeo", "inspect", "--config", f"{kind}:{archive}"], capture_output=True, check=True)
    assert json.loads(done.stdout)["rootfs"]["diff_ids"] == [sha(LAYER)]


def test_skopeos_archives_are_loaded(store: Store, tmp_path: Path) -> None:
    layout = write_layout(tmp_path / "layout", Made(LAYER))
    for kind in ("docker-archive", "oci-archive"):
        target = tmp_path / f"{kind}.tar"
        subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", f"oci:{layout}:latest", f"{kind}:{target}:app:v1"],
                       check=True, capture_output=True)
        with target.open("rb") as file:
            (loaded,) = load_archive(store, file)
        assert loaded.names == (NAME,)


def test_a_pulled_platform_of_several_is_saved(store: Store, layers: LayerSource, resolver: Resolver,
                                               mini: MiniRegistry, tmp_path: Path) -> None:
    images = Made(LAYER), Made(LAYER, architecture="arm64")
    serve_index(mini, "app", "t", index_of(*images), *images)
    resolver.resolve(Reference(mini.domain, "app", "t"), AMD64)
    for docker in (True, False):
        out = io.BytesIO()
        save_images(store, [f"{mini.domain}/app:t"], out, layers, docker=docker, platform=None if docker else AMD64)
        with Store.open(str(tmp_path / f"other{docker}")) as other:
            (loaded,) = load_archive(other, io.BytesIO(out.getvalue()))
        assert loaded.descriptor.digest == images[0].digest


def test_an_image_without_a_name_is_saved_by_its_digest(store: Store, layers: LayerSource, tmp_path: Path) -> None:
    (loaded,) = load(store, layout_files(write_layout(tmp_path / "layout", Made(LAYER), names=("v1",))))
    out = io.BytesIO()
    save_images(store, [loaded.descriptor.digest], out, layers)
    with Store.open(str(tmp_path / "other")) as other:
        assert load_archive(other, io.BytesIO(out.getvalue())) == (loaded,)


def test_saving_what_is_not_there(store: Store, layers: LayerSource) -> None:
    with pytest.raises(NotInStore, match="not found"):
        save_images(store, ["nosuch"], io.BytesIO(), layers)


def damaged(kind: str, tmp_path: Path) -> dict[str, bytes]:
    image = Made(LAYER)
    files = docker_archive(image, LAYER)
    layout = layout_files(write_layout(tmp_path / "layout", image))
    manifest = f"blobs/sha256/{image.digest[7:]}"
    match kind:
        case "no manifest":
            return {"layer.tar": LAYER}
        case "no images":
            return {"manifest.json": b"[]"}
        case "not json":
            return {**files, "manifest.json": b"{"}
        case "layer missing":
            return {name: data for name, data in files.items() if name != "0/layer.tar"}
        case "another layer":
            return {**files, "0/layer.tar": layer_tar(other="x")}
        case "path outside":
            element = [{"Config": "../../../etc/passwd", "RepoTags": None, "Layers": []}]
            return {**files, "manifest.json": json.dumps(element).encode()}
        case "bad name":
            return docker_archive(image, LAYER, tags=("app/UPPER",))
        case "blob missing":
            return {name: data for name, data in layout.items() if name != manifest}
        case "blob changed":
            return {**layout, manifest: image.manifest + b" "}
        case _:
            assert kind == "layer blob missing"
            largest = max((n for n in layout if n.startswith("blobs") and n != manifest), key=lambda n: layout[n][:2])
            return {name: data for name, data in layout.items() if name != largest}


@pytest.mark.parametrize("kind", ["no manifest", "no images", "not json", "layer missing", "another layer",
                                  "path outside", "bad name", "blob missing", "blob changed", "layer blob missing"])
def test_damaged_archives_are_refused(store: Store, tmp_path: Path, kind: str) -> None:
    with pytest.raises(BuilderError):
        load(store, damaged(kind, tmp_path))
    assert store.images() == []


@pytest.mark.parametrize("data", [b"", b"hello", bytes(1024), gzip.compress(b"x" * 5000, mtime=0)])
def test_what_is_no_archive(store: Store, data: bytes) -> None:
    with pytest.raises(BuilderError):
        load_archive(store, io.BytesIO(data))


def layers_of_indexes(levels: int, width: int) -> dict[str, bytes]:
    """The files of a layout whose indexes each list the next one, `width` times, down to one image."""
    made = Made(LAYER)
    blobs = {**made.blobs, made.digest: made.manifest}
    entries = [made.entry]
    for _ in range(levels):
        data = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
        blobs[sha(data)] = data
        entries = [{"mediaType": INDEX, "digest": sha(data), "size": len(data)}] * width
    index = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    return {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}', "index.json": index,
            **{f"blobs/{digest.replace(':', '/')}": data for digest, data in blobs.items()}}


def load_as(form: str, store: Store, files: dict[str, bytes], folder: Path) -> None:
    if form == "archive":
        load(store, files)
        return
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    load_folder(store, OciLayout(folder))


@pytest.mark.parametrize("form", ["archive", "folder"])
def test_indexes_in_indexes_end(store: Store, tmp_path: Path, form: str) -> None:
    load_as(form, store, layers_of_indexes(3, 100), tmp_path / "wide")  # a million ways to the image
    with pytest.raises(NotAnImage, match="nested more than 4 deep"):
        load_as(form, store, layers_of_indexes(2000, 1), tmp_path / "deep")


@pytest.mark.parametrize("form", ["archive", "folder"])
def test_a_document_is_not_read_whatever_its_size(store: Store, tmp_path: Path, form: str) -> None:
    files = layers_of_indexes(1, 1)
    large = b" " * ((64 << 20) + 1)
    entry = {"mediaType": INDEX, "digest": sha(large), "size": len(large)}
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    files[f"blobs/{sha(large).replace(':', '/')}"] = large
    with pytest.raises(NotAnImage, match="the document is too large"):
        load_as(form, store, files, tmp_path / "layout")


def test_circular_links_end(store: Store) -> None:
    with pytest.raises(BuilderError, match="missing"):
        load(store, {"manifest.json": b'[{"Config": "a", "Layers": []}]'}, {"a": "b", "b": "a"})


def test_a_root_file_system_is_imported(store: Store, resolver: Resolver, layers: LayerSource) -> None:
    config = ContainerConfig(cmd=("/hello",))
    packed = io.BytesIO(gzip.compress(LAYER, mtime=0))
    import_rootfs(store, packed, layers, platform=AMD64, names=(NAME,), config=config)
    image = resolver.resolve(Reference.parse("app:v1"), AMD64)
    assert image.config.config.cmd == ("/hello",)
    assert (image.config.history or ())[0].comment == "Imported from -"
    (layer,) = layers.ensure_layers(source_of(image))
    assert Path(store.layer_dir(layer), "hello").read_text() == "hello\n"
