"""Manifests of caches as a hostile registry may send them."""

from __future__ import annotations

import hashlib
import json

import pytest
import zstandard

from builder.cache.cacheconfig import DIFF_ID, INLINE_KEY, MEDIA_TYPE
from builder.errors import ImageError
from builder.oci import Descriptor, Digest, MediaType
from builder.remotecache.cachemanifest import CacheManifest
from builder.remotecache.explanations import MEDIA_TYPE as EXPLANATIONS

LAYER = "sha256:" + "a" * 64
STEPS = {"layers": [{"blob": LAYER}], "records": [{"digest": "sha256:key", "layers": [{"layer": 0}]}]}


class Registry:
    """Has documents, and counts how often each is asked for."""

    def __init__(self) -> None:
        self.documents: dict[str, bytes] = {}
        self.asked: list[str] = []

    def put(self, document: object, media_type: str = MediaType.OCI_CONFIG) -> dict[str, object]:
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.documents[digest] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def manifest(self, config: dict[str, object], *layers: dict[str, object]) -> dict[str, object]:
        return self.put({"schemaVersion": 2, "config": config, "layers": layers}, MediaType.OCI_MANIFEST)

    def index(self, *entries: dict[str, object]) -> dict[str, object]:
        return self.put({"schemaVersion": 2, "manifests": entries}, MediaType.OCI_INDEX)

    def fetch(self, descriptor: Descriptor) -> bytes:
        self.asked.append(descriptor.digest)
        return self.documents[descriptor.digest]

    def read(self, root: dict[str, object]) -> CacheManifest:
        return CacheManifest("cache", Descriptor(media_type=str(root["mediaType"]), digest=Digest(str(root["digest"])),
                                                 size=int(str(root["size"]))), self.fetch)


@pytest.fixture
def registry() -> Registry:
    return Registry()


def layer(**fields: object) -> dict[str, object]:
    known = {"mediaType": MediaType.OCI_LAYER_GZIP, "digest": LAYER, "size": 5, "annotations": {DIFF_ID: LAYER}}
    return {**known, **fields}


def image(registry: Registry, inline: object) -> dict[str, object]:
    """The config of an image with an inline cache."""
    return registry.put({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [LAYER]},
                         "history": [{"created": "yesterday"}], INLINE_KEY: inline})


@pytest.mark.parametrize("change", [{"size": -1}, {"digest": "sha256:../../etc"}, {"mediaType": "text/html"}])
def test_hostile_layers_are_refused_wherever_they_are_listed(registry: Registry, change: dict[str, object]) -> None:
    for config in (registry.put(STEPS, MEDIA_TYPE), image(registry, STEPS)):
        with pytest.raises(ImageError):
            registry.read(registry.manifest(config, layer(**change)))


def test_an_image_carries_its_own_cache(registry: Registry) -> None:
    found = registry.read(registry.manifest(image(registry, STEPS), layer(annotations={})))
    assert list(found.layers) == ["key"]
    assert found.layers["key"].diff_id == LAYER


@pytest.mark.parametrize("inline", [5, [], "x", {"layers": 5}, {"records": [{"digest": 5}]},
                                    {"layers": [], "records": [{"digest": "a", "layers": [{"layer": 1 << 80}]}]}])
def test_an_inline_cache_of_another_shape(registry: Registry, inline: object) -> None:
    with pytest.raises(ImageError):
        registry.read(registry.manifest(image(registry, inline), layer()))


@pytest.mark.parametrize("data", [b"[" * 100_000, b"\xff", b"[1]", b"{"])
def test_documents_that_are_none(registry: Registry, data: bytes) -> None:
    with pytest.raises(ImageError):
        registry.read(registry.manifest(registry.put(data, MEDIA_TYPE), layer()))
    assert not registry.read(registry.manifest(registry.put(b"[]"), layer())).layers


def test_an_entry_that_is_listed_often_is_fetched_once(registry: Registry) -> None:
    manifest = registry.manifest(registry.put(STEPS, MEDIA_TYPE), layer())
    assert list(registry.read(registry.index(*[manifest] * 1000)).layers) == ["key"]
    assert len(registry.asked) == 3


def test_indexes_of_indexes_end(registry: Registry) -> None:
    root = registry.manifest(registry.put(STEPS, MEDIA_TYPE), layer())
    for _ in range(10):
        root = registry.index(root)
    assert not registry.read(root).layers
    assert len(registry.asked) < 10


def test_explanations_that_are_listed_often_are_read_once(registry: Registry) -> None:
    """A few kilobytes that unpack to as much as is allowed: once that is bearable."""
    bomb = registry.put(zstandard.compress(b"[" + b" " * (1 << 20) + b"]"), EXPLANATIONS)
    manifest = registry.read(registry.manifest(registry.put(STEPS, MEDIA_TYPE), layer(), *[bomb] * 1000))
    assert manifest.fetch_explanations() == {}
    assert registry.asked.count(str(bomb["digest"])) == 1


def test_a_document_that_says_it_is_huge_is_not_fetched(registry: Registry) -> None:
    config = {**registry.put(STEPS, MEDIA_TYPE), "size": 1 << 40}
    with pytest.raises(ImageError):
        registry.read(registry.manifest(config, layer()))
    assert config["digest"] not in registry.asked
