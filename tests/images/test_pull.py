"""Layers come into the store whole or not at all."""

from __future__ import annotations

import gzip
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from registry.servers import Handler, MiniRegistry, sha

from builder.errors import BuilderError, Cancelled
from builder.images.errors import LayerNotStored
from builder.images.pull import LayerSource
from builder.images.resolve import Resolver
from builder.layer.unpack import DiffIDMismatch
from builder.layer.view import MergedView
from builder.oci import Compression, DiffID, Digest
from builder.plan.vertices import FromStore, ResolvedImage, SourceImage
from builder.platforms import parse_platform
from builder.reference import Reference
from builder.registry.access import RegistryAccess
from builder.registry.errors import NotFound
from builder.store import Store
from images.material import Made, layer_tar, serve, write_layout
from tests.layer.tars import member, tar

AMD64 = parse_platform("linux/amd64")
FIRST = layer_tar(("etc/", None, 0o755), ("etc/name", b"first", 0o640), ("tmp/", None, 0o1777))
SECOND = layer_tar(("etc/name", b"second", 0o644), ("tmp/x", b"x", 0o600))


def source_of(image: ResolvedImage) -> SourceImage:
    return SourceImage(diff_ids=image.config.rootfs.diff_ids or (), name=image.name, digest=image.digest,
                       descriptors=image.layers, origin=image.origin)


def pulled(resolver: Resolver, server: MiniRegistry, image: Made) -> SourceImage:
    tag = image.digest.removeprefix("sha256:")
    serve(server, "app", tag, image)
    return source_of(resolver.resolve(Reference(server.domain, "app", tag), AMD64))


def view(store: Store, layers: tuple[str, ...]) -> MergedView:
    return MergedView([store.layer_dir(layer) for layer in layers])  # type: ignore[arg-type]


@pytest.mark.root
def test_layers_are_unpacked_and_their_blobs_kept(resolver: Resolver, layers: LayerSource, store: Store,
                                                  mini: MiniRegistry) -> None:
    image = pulled(resolver, mini, Made(FIRST, SECOND))
    progress: list[tuple[str, int, int, bool]] = []
    found = layers.ensure_layers(image, progress=lambda *report: progress.append(report))
    entry = view(store, found).lstat("etc/name")
    assert entry is not None
    assert Path(f"{entry.root.path}/{entry.path}").read_text() == "second"
    for diff_id, descriptor in zip(image.diff_ids, image.descriptors, strict=True):
        kept = store.layer_blob(diff_id, Compression.GZIP)
        assert kept is not None
        assert kept.digest == descriptor.digest
    assert {item for item, _, _, done in progress if done} == {d.digest for d in image.descriptors}
    mini.requests.clear()
    assert layers.ensure_layers(image) == found
    assert mini.requests == []


@pytest.mark.root
def test_directories_that_a_layer_only_passes_through_keep_their_looks(
        resolver: Resolver, layers: LayerSource, store: Store, mini: MiniRegistry) -> None:
    found = layers.ensure_layers(pulled(resolver, mini, Made(FIRST, SECOND)))
    entry = view(store, found).lstat("tmp")
    assert entry is not None
    assert stat.S_IMODE(entry.stat.st_mode) == 0o1777
    other = layers.ensure_layers(pulled(resolver, mini, Made(layer_tar(("tmp/", None, 0o700)), SECOND)))
    entry = view(store, other).lstat("tmp")
    assert entry is not None
    assert stat.S_IMODE(entry.stat.st_mode) == 0o700
    assert layers.ensure_layers(pulled(resolver, mini, Made(FIRST, SECOND))) == found


@pytest.mark.parametrize(("media_type", "pack"), [
    ("application/vnd.oci.image.layer.v1.tar", bytes),
    ("application/vnd.docker.image.rootfs.diff.tar", bytes),
    ("application/vnd.docker.image.rootfs.diff.tar.gzip", gzip.compress),
    ("application/vnd.oci.image.layer.v1.tar+zstd", zstandard.compress),
])
def test_kinds_of_layers(resolver: Resolver, layers: LayerSource, mini: MiniRegistry, media_type: str,
                         pack: Callable[[bytes], bytes]) -> None:
    image = pulled(resolver, mini, Made(FIRST, pack=pack, media_type=media_type))
    assert len(layers.ensure_layers(image)) == 1


def test_one_layer_twice_in_an_image(resolver: Resolver, layers: LayerSource, mini: MiniRegistry) -> None:
    first, second, third = layers.ensure_layers(pulled(resolver, mini, Made(FIRST, layer_tar(a="1"), FIRST)))
    assert first == third != second


def test_builds_at_the_same_time_fetch_a_layer_once(resolver: Resolver, store: Store, mini: MiniRegistry) -> None:
    image = pulled(resolver, mini, Made(layer_tar(big="x" * 3_000_000)))
    mini.requests.clear()
    found: list[tuple[str, ...]] = []
    threads = [threading.Thread(target=lambda: found.append(
        LayerSource(store, RegistryAccess()).ensure_layers(image))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 4
    assert len(mini.asked("GET", "/blobs/")) == 1


def nothing_remains(store: Store, image: SourceImage) -> None:
    assert all(store.find_layer(diff_id) is None for diff_id in image.diff_ids)
    assert not any(store.has_blob(descriptor.digest) for descriptor in image.descriptors)
    assert os.listdir(os.path.join(store.root, "layers")) == []


def test_a_wrong_diff_id_is_refused(resolver: Resolver, layers: LayerSource, store: Store, mini: MiniRegistry) -> None:
    wrong = DiffID("sha256:" + "0" * 64)
    image = pulled(resolver, mini, Made(FIRST, config={"rootfs": {"type": "layers", "diff_ids": [wrong]}}))
    with pytest.raises(DiffIDMismatch) as failure:
        layers.ensure_layers(image)
    assert wrong in failure.value.notes[0]
    assert sha(FIRST) in failure.value.notes[0]
    nothing_remains(store, image)


@pytest.mark.parametrize("damage", ["content", "cut", "longer", "gone"])
def test_a_damaged_blob_is_refused(resolver: Resolver, layers: LayerSource, store: Store, mini: MiniRegistry,
                                   damage: str) -> None:
    image = pulled(resolver, mini, Made(FIRST))
    digest = image.descriptors[0].digest
    data = mini.blobs["app", digest]
    mini.blobs["app", digest] = {
        "content": data[:20] + bytes([data[20] ^ 1]) + data[21:], "cut": data[:-5], "longer": data + b"more",
        "gone": b"",
    }[damage]
    if damage == "gone":
        del mini.blobs["app", digest]
    with pytest.raises(BuilderError) as failure:
        layers.ensure_layers(image)
    assert isinstance(failure.value, NotFound) == (damage == "gone")
    nothing_remains(store, image)


def test_one_failed_layer_ends_the_others(resolver: Resolver, layers: LayerSource, store: Store,
                                          mini: MiniRegistry) -> None:
    image = pulled(resolver, mini, Made(FIRST, layer_tar(a="1"), SECOND))
    del mini.blobs["app", image.descriptors[1].digest]
    with pytest.raises(NotFound):
        layers.ensure_layers(image)
    assert store.find_layer(image.diff_ids[1]) is None


def test_pulling_can_be_cancelled(resolver: Resolver, layers: LayerSource, store: Store, mini: MiniRegistry) -> None:
    image = pulled(resolver, mini, Made(FIRST))
    cancelled = threading.Event()

    def cancel(handler: Handler) -> bool:
        cancelled.set()
        return False

    mini.faults.append(cancel)
    with pytest.raises(Cancelled):
        layers.ensure_layers(image, cancelled=cancelled)
    nothing_remains(store, image)


@pytest.mark.parametrize("name", ["../outside", "/../../outside", "a/../../outside"])
def test_a_hostile_layer_stays_inside(resolver: Resolver, layers: LayerSource, store: Store, mini: MiniRegistry,
                                      name: str) -> None:
    image = pulled(resolver, mini, Made(layer_tar((name, b"x", 0o644))))
    (layer,) = layers.ensure_layers(image)
    assert os.path.exists(os.path.join(store.layer_dir(layer), "outside"))
    assert not [path for path in Path(store.root).rglob("outside") if layer not in str(path)]


def test_layers_of_a_layout_and_of_the_store(resolver: Resolver, layers: LayerSource, store: Store,
                                             tmp_path: Path) -> None:
    layout = write_layout(tmp_path / "layout", Made(FIRST))
    image = source_of(resolver.resolve_layout(str(layout), "latest", None, AMD64))
    assert len(layers.ensure_layers(image)) == 1
    gone = SourceImage(diff_ids=(DiffID(sha(SECOND)),), name="gone", digest=Digest(sha(b"")),
                       descriptors=image.descriptors, origin=FromStore())
    store.set_aside(image.descriptors[0].digest, "removed")
    with pytest.raises(LayerNotStored):
        layers.ensure_layers(gone)


def test_a_blob_can_be_fetched_without_unpacking(resolver: Resolver, layers: LayerSource, store: Store,
                                                 mini: MiniRegistry) -> None:
    serve(mini, "app", "t", Made(FIRST))
    image = resolver.resolve(Reference(mini.domain, "app", "t"), AMD64)
    layers.fetch_blob(image, image.layers[0])
    assert store.has_blob(image.layers[0].digest)
    assert os.listdir(os.path.join(store.root, "layers")) == []


@pytest.mark.root
def test_a_pulled_layer_changes_no_file_of_the_host(resolver: Resolver, layers: LayerSource, store: Store,
                                                    mini: MiniRegistry, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("safe")
    victim.chmod(0o600)
    before = victim.stat()
    lower = tar(member("d", "foo/", mode=0o4777, owner=(1234, 1234)))
    upper = tar(member("f", "foo/new"), member("l", "foo", str(victim)), member("f", "bar/new"))
    found = layers.ensure_layers(pulled(resolver, mini, Made(lower, upper)))
    entry = view(store, found).lstat("foo")
    assert entry is not None and entry.is_link
    assert victim.stat() == before
