"""Pushing whole images: what is sent, what is mounted instead, and what a failure looks like."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from registry.content import read_all
from registry.servers import Handler, MiniRegistry
from registry.tokens import Grants, token_registry

from builder.errors import ImageError
from builder.images.origins import neighbours, pulled_layers
from builder.images.pull import LayerSource, blob_fetcher
from builder.images.push import push_image
from builder.images.resolve import Resolver
from builder.oci import Descriptor, Digest, MediaType
from builder.platforms import parse_platform
from builder.reference import Reference
from builder.registry.access import RegistryAccess
from builder.registry.errors import Unauthorized
from builder.registry.upload import has_blob
from builder.store import Store
from builder.store.blobs import BlobDamaged
from images.material import Made, layer_tar, serve

AMD64 = parse_platform("linux/amd64")


class Pushing:
    """Pushes images of one store; `sent` holds the last push' blobs by digest: whether they were uploaded."""

    def __init__(self, store: Store, access: RegistryAccess, layers: LayerSource) -> None:
        self.store, self.access, self.layers = store, access, layers
        self.sent: dict[Digest, bool] = {}

    def stored(self, image: Made) -> Descriptor:
        for data in (*image.blobs.values(), image.manifest):
            self.store.put_blob(data)
        return Descriptor(media_type=MediaType.OCI_MANIFEST, digest=Digest(image.digest), size=len(image.manifest))

    def push(self, root: Descriptor, target: Reference) -> Digest:
        self.sent.clear()
        return push_image(self.store, self.access.client, root, target,
                          mount_from=neighbours(pulled_layers(self.store), target),
                          fetch=blob_fetcher(self.store, self.layers),
                          progress=lambda blob, sent: self.sent.__setitem__(blob.digest, sent))


@pytest.fixture
def pushing(store: Store, access: RegistryAccess, layers: LayerSource) -> Iterator[Pushing]:
    with store.lease():
        yield Pushing(store, access, layers)


def pulled(pushing: Pushing, reference: Reference) -> Descriptor:
    """The image of a repository with one layer, in the store as `pull` leaves it."""
    image = Resolver(pushing.store, pushing.access).resolve(reference, AMD64)
    for layer in image.layers:
        pushing.layers.fetch_blob(image, layer)
    row = pushing.store.get_image(str(reference))
    assert row is not None
    return row.descriptor


def seeded(pushing: Pushing, registry: str, repository: str, text: str) -> tuple[Reference, Descriptor]:
    """A repository of the real registry with an image of one layer; the layer."""
    made = Made(layer_tar(file=text))
    with Store.open(f"{pushing.store.root}-of-{repository.replace('/', '-')}") as other, other.lease():
        elsewhere = Pushing(other, pushing.access, LayerSource(other, pushing.access))
        reference = Reference(registry, repository, "1")
        elsewhere.push(elsewhere.stored(made), reference)
    digest = next(digest for digest in made.blobs if made.blobs[digest] != made.config)
    return reference, Descriptor(media_type=MediaType.OCI_LAYER_GZIP, digest=Digest(digest),
                                 size=len(made.blobs[digest]))


# -- layers that a neighbour has -----------------------------------------------------------------------------------


def test_layers_that_were_pulled_from_a_neighbour_are_mounted(pushing: Pushing, registry: str) -> None:
    base, layer = seeded(pushing, registry, "mounted/base", "mounted")
    target = Reference(registry, "mounted/derived", "1")
    root = pulled(pushing, base)
    assert neighbours(pulled_layers(pushing.store), target) == {layer.digest: ("mounted/base",)}
    assert not has_blob(pushing.access.client, target, layer)
    assert pushing.push(root, target) == root.digest
    assert pushing.sent[layer.digest] is False
    with pushing.store.open_blob(layer.digest) as file:
        assert read_all(pushing.access.client, target, layer) == file.read()


def test_a_layer_that_the_registry_does_not_mount_is_uploaded(pushing: Pushing, registry: str) -> None:
    base, layer = seeded(pushing, registry, "unmounted/base", "unmounted")
    target = Reference(registry, "unmounted/derived", "1")
    root = pulled(pushing, base)
    # The neighbour has lost the layer since: a request to mount it is answered with 202, an upload that has begun.
    gone = urllib.request.Request(f"http://{registry}/v2/unmounted/base/blobs/{layer.digest}", method="DELETE")
    with urllib.request.urlopen(gone) as answer:
        assert answer.status == 202
    assert neighbours(pulled_layers(pushing.store), target) == {layer.digest: ("unmounted/base",)}
    assert pushing.push(root, target) == root.digest
    assert pushing.sent[layer.digest] is True
    with pushing.store.open_blob(layer.digest) as file:
        assert read_all(pushing.access.client, target, layer) == file.read()


def test_an_upload_that_began_as_a_mount_is_the_one_that_is_used(pushing: Pushing, mini: MiniRegistry) -> None:
    made = Made(layer_tar(file="x"))
    serve(mini, "base", "1", made)
    root = pulled(pushing, Reference(mini.domain, "base", "1"))
    for digest in made.blobs:
        del mini.blobs["base", digest]
    pushing.push(root, Reference(mini.domain, "derived", "1"))
    begun = [path for verb, path, _ in mini.requests if verb == "POST"]
    assert len(begun) == len(made.blobs)
    assert len([path for path in begun if "from=base" in path]) == 1


def test_only_other_repositories_of_the_same_registry_are_neighbours(pushing: Pushing, mini: MiniRegistry) -> None:
    serve(mini, "base", "1", Made(layer_tar(file="x")))
    pulled(pushing, Reference(mini.domain, "base", "1"))
    assert neighbours(pulled_layers(pushing.store), Reference(mini.domain, "base", "2")) == {}
    assert neighbours(pulled_layers(pushing.store), Reference("elsewhere.example", "derived", "1")) == {}


# -- mounts that are refused ---------------------------------------------------------------------------------------


def refuse_the_token(repository: str, actions: str) -> set[str]:
    if repository.endswith("/base"):
        raise PermissionError
    return set(actions.split(","))


def grant_less(repository: str, actions: str) -> set[str]:
    return set() if repository.endswith("/base") else set(actions.split(","))


@pytest.mark.parametrize("grants", [refuse_the_token, grant_less])
def test_layers_of_a_base_that_may_not_be_read_any_more_are_uploaded(
        pushing: Pushing, tmp_path: Path, certificate: tuple[Path, Path], grants: Grants) -> None:
    with token_registry(tmp_path, certificate) as (registry, tokens):
        base, layer = seeded(pushing, registry, "a/base", "private")
        root = pulled(pushing, base)
        tokens.grants = grants
        target = Reference(registry, "derived", "1")
        # tokens of the pull are still good: a process of its own, as the next `builder push` is
        pushing.access = RegistryAccess(pushing.access.settings)
        assert pushing.push(root, target) == root.digest
        assert pushing.sent[layer.digest] is True
        with pushing.store.open_blob(layer.digest) as file:
            assert read_all(pushing.access.client, target, layer) == file.read()


def test_the_error_names_the_repository_that_is_pushed_to(pushing: Pushing, tmp_path: Path,
                                                          certificate: tuple[Path, Path]) -> None:
    def read_only(repository: str, actions: str) -> set[str]:
        if "push" in actions:
            raise PermissionError
        return {"pull"}

    with token_registry(tmp_path, certificate) as (registry, tokens):
        base, _ = seeded(pushing, registry, "a/base", "public")
        root = pulled(pushing, base)
        tokens.grants = read_only
        pushing.access = RegistryAccess(pushing.access.settings)
        with pytest.raises(Unauthorized, match=f"`{registry}/zoo/derived:1`: access denied"):
            pushing.push(root, Reference(registry, "zoo/derived", "1"))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 501])
def test_whatever_a_registry_says_to_a_mount_the_layer_is_uploaded(pushing: Pushing, mini: MiniRegistry,
                                                                   status: int) -> None:
    made = Made(layer_tar(file="x"), layer_tar(file="y"))
    serve(mini, "base", "1", made)
    root = pulled(pushing, Reference(mini.domain, "base", "1"))

    def no_mounts(handler: Handler) -> bool:
        if "mount=" in handler.path:
            handler.error(status, "UNSUPPORTED")
            mini.faults.append(no_mounts)
            return True
        return False

    mini.faults.append(no_mounts)
    pushing.push(root, Reference(mini.domain, "derived", "1"))
    assert {digest for repository, digest in mini.blobs if repository == "derived"} == set(made.blobs)


# -- failures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"as long", b"another length"])
def test_a_damaged_blob_is_told_from_a_registry_that_refuses(pushing: Pushing, mini: MiniRegistry,
                                                             content: bytes) -> None:
    made = Made(b"layer", pack=lambda data: b"AS LONG")
    root = pushing.stored(made)
    layer = next(digest for digest, data in made.blobs.items() if data == b"AS LONG")
    Path(pushing.store.blob_path(Digest(layer))).write_bytes(content)
    with pytest.raises(BlobDamaged):
        pushing.push(root, Reference(mini.domain, "app", "1"))
    assert not pushing.store.has_blob(Digest(layer))
    assert ("app", "1") not in mini.manifests


def test_a_manifest_that_gives_a_wrong_size(pushing: Pushing, mini: MiniRegistry) -> None:
    layer = pushing.store.put_blob(b"layer")
    wrong = Made(layers=[{"mediaType": MediaType.OCI_LAYER, "digest": layer, "size": 4}])
    with pytest.raises(ImageError, match=f"blob {layer} has 5 bytes, not 4 as its manifest says"):
        pushing.push(pushing.stored(wrong), Reference(mini.domain, "app", "1"))


def test_after_a_refusal_nothing_more_is_begun(pushing: Pushing, mini: MiniRegistry) -> None:
    made = Made(*(layer_tar(file=str(n)) for n in range(20)))
    refused = threading.Event()

    def refuse(handler: Handler) -> bool:
        first = not refused.is_set()
        refused.set()
        if first:
            handler.error(403, "DENIED")
        else:
            threading.Event().wait(0.5)
            handler.error(404, "BLOB_UNKNOWN")
        return True

    mini.faults += [refuse for _ in range(8)]
    with pytest.raises(Unauthorized):
        pushing.push(pushing.stored(made), Reference(mini.domain, "app", "1"))
    assert len(mini.asked("HEAD", "/blobs/")) < 8
