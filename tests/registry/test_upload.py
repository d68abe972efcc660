"""Blobs and manifests on their way to a registry, a real one and one that misbehaves."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from builder.errors import RegistryError
from builder.oci import Digest, digest_of
from builder.reference import Reference
from builder.registry.client import RegistryClient
from builder.registry.errors import RateLimited, ServerFailed, UnexpectedAnswer
from builder.registry.upload import has_blob, push_blob, push_manifest
from registry.content import QUICK, blob, push, read_all
from registry.servers import OCI_MANIFEST, Handler, MiniRegistry, over_tls


def test_a_blob_is_sent_once_and_mounted_from_neighbours(registry: str) -> None:
    client = RegistryClient()
    payload = os.urandom(1000)
    first, second = Reference(registry, "mount/a", "x"), Reference(registry, "mount/b", "x")
    send = lambda: io.BytesIO(payload)  # noqa: E731
    assert push_blob(client, first, blob(payload), send) is True
    assert push_blob(client, first, blob(payload), send) is False
    assert not has_blob(client, second, blob(payload))
    assert push_blob(client, second, blob(payload), send, mount_from=("mount/a",)) is False
    assert read_all(client, second, blob(payload)) == payload


def test_mounting_what_is_not_there_uploads_it(registry: str) -> None:
    client = RegistryClient()
    payload = os.urandom(1000)
    reference = Reference(registry, "mount/c", "x")
    assert push_blob(client, reference, blob(payload), lambda: io.BytesIO(payload), mount_from=("mount/none",)) is True
    assert read_all(client, reference, blob(payload)) == payload


def test_a_digest_names_what_is_pushed_without_a_tag(registry: str) -> None:
    client = RegistryClient()
    push(client, registry, "untagged", "t")
    data = client.get_manifest(Reference(registry, "untagged", "t")).data + b"\n"
    digest = push_manifest(client, Reference(registry, "untagged"), data, OCI_MANIFEST)
    assert client.get_manifest(Reference(registry, "untagged", digest=Digest(digest))).data == data


def test_what_a_registry_calls_too_many_is_sent_later(mini: MiniRegistry) -> None:
    reference = Reference(mini.domain, "a", "t")
    mini.faults.append(lambda h: h.command == "PUT" and (h.error(429, "TOOMANYREQUESTS", Retry_After="0"), True)[1])
    assert push_blob(RegistryClient(QUICK), reference, blob(b"x"), lambda: io.BytesIO(b"x")) is True
    mini.faults += [lambda h: h.command == "PUT" and (h.error(429, "TOOMANYREQUESTS", Retry_After="9"), True)[1]]
    with pytest.raises(RateLimited):
        push_blob(RegistryClient(QUICK), reference, blob(b"y"), lambda: io.BytesIO(b"y"))


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_an_upload_is_begun_anew_and_given_up(mini: MiniRegistry, method: str) -> None:
    failing = lambda h: h.command == method and (h.error(503, "DOWN"), True)[1]  # noqa: E731
    reference = Reference(mini.domain, "a", "t")
    mini.faults += [failing] * QUICK.retries
    assert push_blob(RegistryClient(QUICK), reference, blob(b"x"), lambda: io.BytesIO(b"x")) is True
    assert len(mini.asked("POST", "/uploads/")) == QUICK.retries + 1
    mini.faults += [failing] * 50
    mini.requests.clear()
    with pytest.raises(ServerFailed):
        push_blob(RegistryClient(QUICK), reference, blob(b"y"), lambda: io.BytesIO(b"y"))
    assert len(mini.asked(method, "/uploads/")) == QUICK.retries + 1


def test_a_registry_that_calls_itself_http_is_sent_to_over_tls(certificate: tuple[Path, Path]) -> None:
    with over_tls(MiniRegistry(), certificate) as server:
        reference = Reference(server.domain, "a", "t")

        def behind_a_proxy(handler: Handler) -> bool:
            if handler.command != "POST":
                return False
            handler.answer(202, Location=f"http://{server.domain}/v2/a/blobs/uploads/1")
            return True

        server.faults += [behind_a_proxy] * (QUICK.retries + 1)
        assert push_blob(RegistryClient(QUICK), reference, blob(b"x"), lambda: io.BytesIO(b"x")) is True
        assert server.blobs["a", digest_of(b"x")] == b"x"


@pytest.mark.parametrize("location", ["http://elsewhere.example/upload", "file:///etc/passwd"])
def test_an_upload_is_not_sent_where_anyone_could_read_it(certificate: tuple[Path, Path], location: str) -> None:
    with over_tls(MiniRegistry(), certificate) as server:
        server.faults.append(lambda h: h.command == "POST" and (h.answer(202, Location=location), True)[1])
        with pytest.raises(UnexpectedAnswer, match=r"a redirect to a (http|file) URL"):
            push_blob(RegistryClient(QUICK), Reference(server.domain, "a", "t"), blob(b"x"), lambda: io.BytesIO(b"x"))


def test_a_refused_blob_is_no_success(mini: MiniRegistry) -> None:
    with pytest.raises(RegistryError, match="status 400: DIGEST_INVALID"):
        push_blob(RegistryClient(QUICK), Reference(mini.domain, "a", "t"), blob(b"x"), lambda: io.BytesIO(b"y"))
