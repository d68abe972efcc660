"""The client against a real registry, and against one that misbehaves."""

from __future__ import annotations

import os

import msgspec
import pytest

from builder.errors import RegistryError
from builder.oci import Descriptor, digest_of
from builder.reference import Reference
from builder.registry.client import MAX_MANIFEST, RegistryClient
from builder.registry.errors import (
    DigestMismatch,
    DownloadBroken,
    NotFound,
    RateLimited,
    ServerFailed,
    SizeMismatch,
    UnexpectedAnswer,
    Unreachable,
)
from builder.registry.quickhead import quick_head
from builder.registry.settings import RegistrySettings
from registry.content import QUICK, blob, push, read_all
from registry.servers import OCI_MANIFEST, Handler, MiniRegistry

# -- a real registry -----------------------------------------------------------------------------------------------


def test_what_is_pushed_can_be_pulled(registry: str) -> None:
    client = RegistryClient()
    payload = os.urandom(3 << 20)
    reference, manifest = push(client, registry, "team/app", "v1", payload)
    described = Descriptor(media_type=OCI_MANIFEST, digest=digest_of(manifest), size=len(manifest))
    assert client.head_manifest(reference) == described
    assert quick_head(reference, RegistrySettings()) == described
    assert client.get_manifest(reference).data == manifest
    by_digest = Reference(registry, "team/app", digest=digest_of(manifest))
    assert client.get_manifest(by_digest).data == manifest
    assert read_all(client, reference, blob(payload)) == payload


def test_unknown_names_are_not_found(registry: str) -> None:
    with pytest.raises(NotFound, match=rf"^`{registry}/nosuch:x`: not found$"):
        RegistryClient().get_manifest(Reference(registry, "nosuch", "x"))
    with pytest.raises(NotFound):
        RegistryClient().head_manifest(Reference(registry, "nosuch", "x"))
    assert quick_head(Reference(registry, "nosuch", "x"), RegistrySettings()) is None


def test_a_port_that_does_not_exist() -> None:
    assert quick_head(Reference("127.0.0.1:70000", "a", "t"), RegistrySettings()) is None
    with pytest.raises(Unreachable):
        RegistryClient().get_manifest(Reference("127.0.0.1:70000", "a", "t"))


# -- one that misbehaves -------------------------------------------------------------------------------------------


def test_nobody_there_fails_at_once() -> None:
    with pytest.raises(Unreachable) as failure:
        RegistryClient().get_manifest(Reference("127.0.0.1:1", "a", "b"))
    assert failure.value.message == "cannot reach registry `127.0.0.1:1`"
    assert "refused" in (failure.value.cause or "")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(mini: MiniRegistry, status: int) -> None:
    mini.add_manifest("a", "t", b"{}")
    mini.faults += [lambda h: (h.error(status, "LATER", Retry_After="0"), True)[1]] * 2
    assert RegistryClient(QUICK).get_manifest(Reference(mini.domain, "a", "t")).data == b"{}"
    assert len(mini.requests) == 3


def test_attempts_are_bounded(mini: MiniRegistry) -> None:
    mini.faults += [lambda h: (h.error(503, "DOWN"), True)[1]] * 20
    with pytest.raises(ServerFailed) as failure:
        RegistryClient(QUICK).get_manifest(Reference(mini.domain, "a", "t"))
    assert failure.value.status == 503
    assert failure.value.cause == "DOWN: down"
    assert len(mini.requests) <= QUICK.retries + 2


def test_a_retry_after_beyond_our_patience_is_told(mini: MiniRegistry) -> None:
    mini.faults += [lambda h: (h.error(429, "TOOMANYREQUESTS", Retry_After="3600"), True)[1]] * 5
    with pytest.raises(RateLimited) as failure:
        RegistryClient(QUICK).get_manifest(Reference(mini.domain, "a", "t"))
    assert failure.value.retry_after == 3600
    assert failure.value.hint == f"log in for a higher limit: builder login {mini.domain}"


def test_a_manifest_has_a_size_limit(mini: MiniRegistry) -> None:
    mini.add_manifest("a", "t", b" " * (MAX_MANIFEST + 1))
    with pytest.raises(UnexpectedAnswer, match="more than 4194304 bytes"):
        RegistryClient(QUICK).get_manifest(Reference(mini.domain, "a", "t"))


def test_a_manifest_must_be_what_its_digest_says(mini: MiniRegistry) -> None:
    mini.manifests["a", "t"] = (OCI_MANIFEST, b"{}")
    lie = digest_of(b"other")
    mini.manifests["a", lie] = (OCI_MANIFEST, b"{}")
    with pytest.raises(DigestMismatch) as failure:
        RegistryClient(QUICK).get_manifest(Reference(mini.domain, "a", digest=lie))
    assert failure.value.notes == (f"expected {lie}", f"received {digest_of(b'{}')}")
    mini.faults.append(lambda h: (h.answer(200, b"{}", Docker_Content_Digest=lie), True)[1])
    with pytest.raises(DigestMismatch):
        RegistryClient(QUICK).get_manifest(Reference(mini.domain, "a", "t"))


def cut_document(handler: Handler) -> bool:
    handler.answer(200, b"{", Content_Length="100")
    handler.close_connection = True
    return True


def test_a_manifest_that_breaks_off_is_asked_for_again(mini: MiniRegistry) -> None:
    mini.add_manifest("a", "t", b"{}")
    mini.faults += [cut_document] * 2
    assert RegistryClient(QUICK).get_manifest(Reference(mini.domain, "a", "t")).data == b"{}"
    mini.faults += [cut_document] * 20
    with pytest.raises(DownloadBroken, match=f"the download of `{mini.domain}/a:t` was interrupted"):
        RegistryClient(QUICK).get_manifest(Reference(mini.domain, "a", "t"))


@pytest.mark.parametrize("header", ["", "sha512:" + "0" * 128])
def test_head_without_a_usable_digest_fetches(mini: MiniRegistry, header: str) -> None:
    mini.add_manifest("a", "t", b"{}")
    mini.faults.append(lambda h: (h.answer(200, b"{}", Docker_Content_Digest=header), True)[1])
    assert RegistryClient(QUICK).head_manifest(Reference(mini.domain, "a", "t")).digest == digest_of(b"{}")


def cut_after(sent: int) -> object:
    """A fault: announces the whole blob, sends `sent` more bytes of what was asked for, hangs up."""
    def fault(handler: Handler) -> bool:
        if "/blobs/" not in handler.path:
            return False
        repository, _, digest = handler.path.removeprefix("/v2/").partition("/blobs/")
        data = handler.owner.blobs[repository, digest]
        start = int((handler.headers.get("range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        ranged = {"Content_Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        handler.answer(206 if start else 200, data[start:start + sent], Content_Length=str(len(data) - start), **ranged)
        handler.close_connection = True
        return True

    return fault


def test_a_broken_download_continues_where_it_broke(mini: MiniRegistry) -> None:
    payload = os.urandom(500_000)
    mini.add_blob("a", payload)
    mini.faults += [cut_after(100_000), cut_after(150_000)]  # type: ignore[list-item]
    client = RegistryClient(QUICK)
    assert read_all(client, Reference(mini.domain, "a", "t"), blob(payload)) == payload
    starts = [int(h["range"].removeprefix("bytes=").rstrip("-")) for h in mini.asked("GET", "/blobs/") if "range" in h]
    assert len(starts) == 2
    assert 0 < starts[0] <= 100_000 < starts[1] <= 250_000


def test_a_server_without_ranges_is_read_again(mini: MiniRegistry) -> None:
    payload = os.urandom(500_000)
    mini.add_blob("a", payload)
    mini.faults += [cut_after(100_000), lambda h: "range" in h.headers and (h.answer(200, payload), True)[1]]  # type: ignore[list-item]
    assert read_all(RegistryClient(QUICK), Reference(mini.domain, "a", "t"), blob(payload)) == payload


def test_reading_again_may_break_off_as_well(mini: MiniRegistry) -> None:
    payload = os.urandom(500_000)
    mini.add_blob("a", payload)

    def broken_anew(handler: Handler) -> bool:
        handler.answer(200, payload[:10], Content_Length=str(len(payload)))
        handler.close_connection = True
        return True

    mini.faults += [cut_after(100_000), broken_anew]  # type: ignore[list-item]
    with pytest.raises(DownloadBroken):
        read_all(RegistryClient(QUICK), Reference(mini.domain, "a", "t"), blob(payload))


def test_a_download_that_keeps_breaking_is_given_up(mini: MiniRegistry) -> None:
    payload = os.urandom(500_000)
    mini.add_blob("a", payload)
    mini.faults += [cut_after(10) for _ in range(20)]  # type: ignore[misc]
    with pytest.raises(DownloadBroken):
        read_all(RegistryClient(QUICK), Reference(mini.domain, "a", "t"), blob(payload))


@pytest.mark.parametrize(("claimed", "error"), [
    (Descriptor(media_type="x", digest=digest_of(b"12345"), size=5), DigestMismatch),
    (Descriptor(media_type="x", digest=digest_of(b"123456"), size=5), SizeMismatch),
    (Descriptor(media_type="x", digest=digest_of(b"123"), size=5), DownloadBroken),
])
def test_a_blob_must_be_what_its_descriptor_says(mini: MiniRegistry, claimed: Descriptor,
                                                 error: type[RegistryError]) -> None:
    sent = {DigestMismatch: b"54321", SizeMismatch: b"123456", DownloadBroken: b"123"}[error]
    mini.blobs["a", claimed.digest] = sent
    with pytest.raises(error):
        read_all(RegistryClient(QUICK), Reference(mini.domain, "a", "t"), claimed)


def test_a_mirror_is_asked_first_and_the_registry_when_it_has_nothing(mini: MiniRegistry) -> None:
    with MiniRegistry() as mirror:
        mirror.add_manifest("a", "t", b'{"from": "mirror"}')
        mini.add_manifest("a", "t", b'{"from": "registry"}')
        mini.add_manifest("a", "only-here", b"{}")
        settings = RegistrySettings(mirrors={mini.domain: (mirror.domain,)})
        client = RegistryClient(settings)
        assert client.get_manifest(Reference(mini.domain, "a", "t")).data == b'{"from": "mirror"}'
        assert client.get_manifest(Reference(mini.domain, "a", "only-here")).data == b"{}"
        strict = RegistryClient(msgspec.structs.replace(settings, mirrors_only=True))
        with pytest.raises(NotFound):
            strict.get_manifest(Reference(mini.domain, "a", "only-here"))


def test_docker_hub_and_insecure_registries_have_their_endpoints() -> None:
    settings = RegistrySettings(insecure=frozenset({"lab.example"}))
    bases = lambda domain: [(e.base, e.verify) for e in settings.endpoints(domain)]  # noqa: E731
    assert bases("docker.io") == [("https://registry-1.docker.io", True)]
    assert bases("ghcr.io") == [("https://ghcr.io", True)]
    assert bases("lab.example:5000") == [("https://lab.example:5000", False), ("http://lab.example:5000", True)]
    assert bases("localhost:1") == [("http://localhost:1", True), ("https://localhost:1", False)]
