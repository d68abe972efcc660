from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from builder.oci import (
    Descriptor,
    DiffID,
    Digest,
    ImageConfig,
    Index,
    Manifest,
    MediaType,
    Platform,
    RootFS,
    digest_of,
    encode,
)
from builder.store import Store
from builder.store.blobs import BlobMissing


def put_image(store: Store, text: str = "layer") -> Descriptor:
    """A manifest with one uncompressed layer, whose blob is stored."""
    layer = store.put_blob(text.encode())
    config = encode(ImageConfig(architecture="amd64", os="linux", rootfs=RootFS(diff_ids=(DiffID(layer),))))
    manifest = encode(Manifest(
        media_type=MediaType.OCI_MANIFEST,
        config=Descriptor(media_type=MediaType.OCI_CONFIG, digest=store.put_blob(config), size=len(config)),
        layers=(Descriptor(media_type=MediaType.OCI_LAYER, digest=layer, size=len(text)),)))
    return Descriptor(media_type=MediaType.OCI_MANIFEST, digest=store.put_blob(manifest), size=len(manifest))


def index_json(store: Store) -> list[dict[str, object]]:
    document = json.loads(Path(store.path("index.json")).read_bytes())
    assert document["schemaVersion"] == 2
    assert document["mediaType"] == MediaType.OCI_INDEX
    return list(document["manifests"])


def test_tag_and_untag(store: Store) -> None:
    descriptor = put_image(store)
    assert store.get_image("docker.io/library/app:1") is None
    store.tag("docker.io/library/app:1", descriptor, origin="built")
    image = store.get_image("docker.io/library/app:1")
    assert image is not None
    assert (image.name, image.descriptor, image.origin) == ("docker.io/library/app:1", descriptor, "built")
    assert index_json(store) == [{
        "mediaType": MediaType.OCI_MANIFEST, "digest": descriptor.digest, "size": descriptor.size,
        "annotations": {"io.containerd.image.name": "docker.io/library/app:1",
                        "org.opencontainers.image.ref.name": "1"},
    }]
    assert store.untag("docker.io/library/app:1")
    assert not store.untag("docker.io/library/app:1")
    assert index_json(store) == []
    assert store.has_blob(descriptor.digest), "left to GC"


def test_a_name_moves(store: Store) -> None:
    first, second = put_image(store, "1"), put_image(store, "2")
    store.tag("a:1", first, origin="built")
    store.tag("a:1", second, origin="built")
    assert [(image.name, image.descriptor) for image in store.images()] == [("a:1", second)]


def test_images_newest_first(store: Store) -> None:
    for name in ("a:1", "c:1", "b:1"):
        store.tag(name, put_image(store), origin="built")
    assert [image.name for image in store.images()] == ["b:1", "c:1", "a:1"]
    assert [manifest["annotations"]["io.containerd.image.name"] for manifest in index_json(store)] == [  # type: ignore[index]
        "a:1", "b:1", "c:1"]


def test_the_same_tag_writes_nothing(store: Store) -> None:
    descriptor = put_image(store)
    store.tag("a:1", descriptor, origin="built")
    before = os.stat(store.path("index.json"))
    store.tag("a:1", descriptor, origin="built")
    assert os.stat(store.path("index.json")).st_ino == before.st_ino


def test_manifest_must_be_there(store: Store) -> None:
    missing = Descriptor(media_type=MediaType.OCI_MANIFEST, digest=digest_of(b"x"), size=1)
    with pytest.raises(BlobMissing):
        store.tag("a:1", missing, origin="built")
    assert store.images() == []


def test_own_annotations_of_a_descriptor_do_not_get_in(store: Store) -> None:
    descriptor = put_image(store)
    store.tag("a@" + descriptor.digest, Descriptor(
        media_type=descriptor.media_type, digest=descriptor.digest, size=descriptor.size,
        platform=Platform("arm64"), annotations={"io.containerd.image.name": "evil:1"}), origin="built")
    manifest, = index_json(store)
    assert manifest["annotations"] == {"io.containerd.image.name": f"a@{descriptor.digest}"}
    assert manifest["platform"] == {"architecture": "arm64", "os": "linux"}


def test_reachable(store: Store) -> None:
    child, other = put_image(store, "1"), put_image(store, "2")
    index = encode(Index(media_type=MediaType.OCI_INDEX, manifests=(child, Descriptor(
        media_type=MediaType.OCI_MANIFEST, digest=digest_of(b"not stored"), size=1))))
    root = Descriptor(media_type=MediaType.OCI_INDEX, digest=store.put_blob(index), size=len(index))
    store.tag("a:1", root, origin="built")
    store.tag("b:1", other, origin="docker.io/library/b:1")
    layers = {digest_of(b"1"), digest_of(b"2")}
    assert store.reachable().blobs >= {root.digest, child.digest, other.digest, digest_of(b"not stored")} | layers
    assert store.reachable().diff_ids == layers
    local = store.reachable(local=True)
    assert other.digest not in local.blobs
    assert local.diff_ids == {digest_of(b"1")}


@pytest.mark.parametrize("data", [
    b"", b"{", b"[]", b'{"manifests": 1}',
    b'{"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"sha256:../../secret","size":1}]}',
])
def test_hostile_documents_end_the_search(store: Store, data: bytes) -> None:
    digest: Digest = store.put_blob(data)
    store.tag("a:1", Descriptor(media_type=MediaType.OCI_INDEX, digest=digest, size=len(data)), origin="loaded")
    assert digest in store.reachable().blobs
