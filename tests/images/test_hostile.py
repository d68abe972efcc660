"""What strangers can write into manifests, indexes and configs: refused in words, and in time."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from registry.servers import Handler, MiniRegistry, sha

from builder.errors import BuilderError
from builder.images.byname import pull
from builder.images.catalog import Catalog
from builder.images.origins import neighbours, pulled_layers
from builder.images.pull import LayerSource
from builder.images.resolve import Resolver
from builder.platforms import parse_platform
from builder.reference import Reference
from builder.registry.access import RegistryAccess
from builder.store import Store
from images.material import CONFIG, INDEX, MANIFEST, Made, index_of, layer_tar, serve, serve_index

AMD64, ARM64 = parse_platform("linux/amd64"), parse_platform("linux/arm64")
DEEP = b"[" * 200_000 + b"]" * 200_000
DEEP_OBJECTS = b'{"a":' * 200_000 + b"1" + b"}" * 200_000
NO_DOCUMENTS = [
    b"", b"null", b"[]", b"1e999", b'"\\ud800"', b"\xff\xfe{}", b"\x00", b"{", DEEP, DEEP_OBJECTS,
    b'{"layers":' + DEEP + b"}", b'{"manifests":' + DEEP + b"}", b'{"other":' + DEEP_OBJECTS + b"}",
]


# -- documents -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", NO_DOCUMENTS, ids=lambda data: repr(data[:12]))
@pytest.mark.parametrize("media_type", [MANIFEST, INDEX, "text/html"])
def test_what_is_no_manifest_is_refused_in_words(resolver: Resolver, mini: MiniRegistry, document: bytes,
                                                 media_type: str) -> None:
    mini.add_manifest("app", "1", document, media_type)
    with pytest.raises(BuilderError):
        resolver.resolve(Reference(mini.domain, "app", "1"), AMD64)
    with pytest.raises(BuilderError):
        resolver.platforms(Reference(mini.domain, "app", "1"))


@pytest.mark.parametrize("document", NO_DOCUMENTS, ids=lambda data: repr(data[:12]))
def test_what_is_no_config_is_refused_in_words(resolver: Resolver, mini: MiniRegistry, document: bytes) -> None:
    made = Made(layer_tar(file="x"))
    serve(mini, "app", "1", made)
    config = {"mediaType": CONFIG, "digest": mini.add_blob("app", document), "size": len(document)}
    mini.add_manifest("app", "2", json.dumps({**json.loads(made.manifest), "config": config}).encode())
    with pytest.raises(BuilderError):
        resolver.resolve(Reference(mini.domain, "app", "2"), AMD64)


@pytest.mark.parametrize("field", [
    {"size": -1}, {"size": 1 << 62}, {"size": 1 << 80}, {"size": 1.5}, {"size": "x"}, {"digest": ""},
    {"digest": "sha256:../../etc/passwd"}, {"digest": "sha256:" + "A" * 64}, {"digest": ["x"]}, {"digest": 1},
    {"mediaType": None}, {"mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"},
    {"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "urls": ["http://127.0.0.1:1/"]},
], ids=str)
def test_layers_that_cannot_be_are_refused(resolver: Resolver, mini: MiniRegistry, layers: LayerSource,
                                           field: dict[str, Any]) -> None:
    made = Made(layer_tar(file="x"))
    document = json.loads(made.manifest)
    document["layers"][0] |= field
    made.manifest = json.dumps(document).encode()
    serve(mini, "app", "1", made)
    with pytest.raises(BuilderError):
        image = resolver.resolve(Reference(mini.domain, "app", "1"), AMD64)
        layers.fetch_blob(image, image.layers[0])


# -- indexes -------------------------------------------------------------------------------------------------------


def test_indexes_that_list_each_other_a_thousand_times_come_to_an_end(resolver: Resolver, mini: MiniRegistry) -> None:
    data = index_of()
    for _ in range(3):
        digest = mini.add_manifest("app", "1", data, INDEX)
        data = index_of(extra=tuple({"mediaType": INDEX, "digest": digest, "size": len(data)} for _ in range(1000)))
    mini.add_manifest("app", "1", data, INDEX)
    begin = time.monotonic()
    with pytest.raises(BuilderError, match="no match for platform"):
        resolver.resolve(Reference(mini.domain, "app", "1"), AMD64)
    assert resolver.platforms(Reference(mini.domain, "app", "1")) == ()
    assert time.monotonic() - begin < 10


def test_a_long_chain_of_indexes_is_refused(resolver: Resolver, mini: MiniRegistry) -> None:
    data = index_of()
    for _ in range(1000):
        digest = mini.add_manifest("app", "1", data, INDEX)
        data = index_of(extra=({"mediaType": INDEX, "digest": digest, "size": len(data),
                                "platform": {"os": "linux", "architecture": "amd64"}},))
    mini.add_manifest("app", "1", data, INDEX)
    with pytest.raises(BuilderError, match="nested more than 4 deep"):
        resolver.resolve(Reference(mini.domain, "app", "1"), AMD64)


# -- images for another machine ------------------------------------------------------------------------------------


@pytest.mark.root
@pytest.mark.parametrize("pinned", [False, True])
def test_one_platform_of_an_index_is_pulled_into_an_empty_store(
        store: Store, access: RegistryAccess, layers: LayerSource, mini: MiniRegistry, pinned: bool) -> None:
    here, there = Made(layer_tar(file="amd64")), Made(layer_tar(file="arm64"), architecture="arm64")
    index = index_of(here, there)
    serve_index(mini, "app", "1", index, here, there)
    name = f"{mini.domain}/app:1" + (f"@{sha(index)}" if pinned else "")
    catalog = Catalog(store)
    pulled = pull(store, access, layers, catalog, name, ARM64, None)
    assert pulled.id == sha(there.config)
    assert not store.has_blob(here.digest)  # type: ignore[arg-type]
    assert [summary.id for summary in catalog.summaries()] == [sha(there.config)]
    assert catalog.inspect(pulled.name)["Architecture"] == "arm64"
    assert len(catalog.history(pulled.name)) == 1
    layer = next(digest for digest in there.blobs if digest != sha(there.config))
    assert neighbours(pulled_layers(store), Reference(mini.domain, "derived", "1")) == {layer: ("app",)}
    again = pull(store, access, layers, catalog, name, AMD64, None)
    assert again.id == sha(here.config)


def test_a_registry_that_answers_with_another_image_than_its_digest(resolver: Resolver, mini: MiniRegistry) -> None:
    made, other = Made(layer_tar(file="x")), Made(layer_tar(file="y"))
    serve(mini, "app", "1", made)

    def lie(handler: Handler) -> bool:
        handler.answer(200, other.manifest, Content_Type=MANIFEST, Docker_Content_Digest=made.digest)
        return True

    mini.faults += [lie] * 2
    with pytest.raises(BuilderError, match="is not what its digest says"):
        resolver.resolve(Reference(mini.domain, "app", "1"), AMD64)
