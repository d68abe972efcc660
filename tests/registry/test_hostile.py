"""Registries that attack: with their answers' sizes, headers and redirects, and with questions for credentials."""

from __future__ import annotations

import base64
import io
import json
import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.errors import BuilderError, RegistryError
from builder.oci import Descriptor, Digest, digest_of
from builder.reference import Reference
from builder.registry.client import RegistryClient
from builder.registry.errors import Unauthorized
from builder.registry.ocilayout import BlobMissing, NotALayout, OciLayout
from builder.registry.quickhead import quick_head
from builder.registry.settings import RegistrySettings
from builder.registry.upload import push_blob
from registry.content import blob
from registry.servers import OCI_MANIFEST, Handler, MiniRegistry

QUICK = RegistrySettings(retry_delay=0.01, retries=1, max_wait=0.5)
TESTER = base64.b64encode(b"tester:secret").decode()
Answer = Callable[[Handler], None]


def always(server: MiniRegistry, answer: Answer, *, only: str = "") -> None:
    """The server gives this answer to every request whose path holds `only`."""
    def fault(handler: Handler) -> bool:
        if only not in handler.path:
            return False
        server.faults.append(fault)
        answer(handler)
        return True

    server.faults.append(fault)


def get(server: MiniRegistry) -> bytes:
    return RegistryClient(QUICK).get_manifest(Reference(server.domain, "team/app", "t")).data


def put(server: MiniRegistry) -> bool:
    return push_blob(RegistryClient(QUICK), Reference(server.domain, "a", "t"), blob(b"x"), lambda: io.BytesIO(b"x"))


# -- credentials -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("challenge", ["Bearer", "Basic"])
def test_a_host_that_was_redirected_to_cannot_ask_for_credentials(no_credentials: Path, challenge: str) -> None:
    with MiniRegistry() as server, MiniRegistry() as other:
        (no_credentials / "config.json").write_text(json.dumps({"auths": {server.domain: {"auth": TESTER}}}))
        always(server, lambda h: h.answer(307, Location=f"http://{other.domain}/v2/x/blobs/y"))
        always(other, lambda h: h.answer(
            401, WWW_Authenticate=f'{challenge} realm="http://{other.domain}/token",service="x"'))
        with pytest.raises(Unauthorized):
            get(server)
        with pytest.raises(RegistryError):
            put(server)
        assert other.requests
        assert all("authorization" not in headers for _, _, headers in other.requests)
        assert not other.asked("GET", "/token")


@pytest.mark.parametrize("token", [
    "a\nX-Injected: yes", "a b\r\n", "", "\u00fc", 5, None, ["x"], {"a": "b"}, "x" * (2 << 20)], ids=repr)
def test_what_is_no_token_is_not_sent(token: object) -> None:
    with MiniRegistry("bearer") as server:
        always(server, lambda h: h.answer(200, json.dumps({"token": token}).encode()), only="/token")
        with pytest.raises(RegistryError):
            get(server)
        assert all("x-injected" not in headers for _, _, headers in server.requests)


@pytest.mark.parametrize("lifetime", ["1" + "0" * 400, "1e308", "-1", "0", "true", "null", '"60"', "NaN"])
def test_a_token_may_say_any_lifetime(lifetime: str) -> None:
    with MiniRegistry("bearer") as server:
        server.users = {}
        server.add_manifest("team/app", "t", b"{}")
        body = f'{{"token": "token0", "expires_in": {lifetime}}}'.encode()
        server.tokens.add("token0")
        always(server, lambda h: h.answer(200, body), only="/token")
        try:
            assert get(server) == b"{}"
        except RegistryError as error:
            assert lifetime in ("NaN", "1" + "0" * 400), error


# -- headers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("location", [
    "http://[::1", "http://[x]/", "http://a:b/", "http://a:99999999/", "http://a:0/", "//", "http://", "http:///x",
    "\u00ff\u00fe", "http://" + "a" * 300 + "/", "http://a..b/", "/%00", "?" * 60_000, "/a b\tc", "javascript:1", "#"])
def test_a_location_may_be_anything(mini: MiniRegistry, location: str) -> None:
    always(mini, lambda h: h.answer(307 if h.command != "POST" else 202, Location=location))
    with pytest.raises(BuilderError):
        get(mini)
    with pytest.raises(BuilderError):
        put(mini)


@pytest.mark.parametrize("realm", ["http://[::1", "http://", "https://a:0/", "http://a:b/", "https:", "\\\\host\\x"])
def test_a_realm_may_be_anything(mini: MiniRegistry, realm: str) -> None:
    always(mini, lambda h: h.answer(401, WWW_Authenticate=f'Bearer realm="{realm}"'))
    with pytest.raises(BuilderError):
        get(mini)


@pytest.mark.parametrize("header", ["a," * 30_000, 'a="' * 20_000, '"' * 60_000, "Bearer " + 'realm="x\\' * 6_000])
def test_a_challenge_takes_no_time(mini: MiniRegistry, header: str) -> None:
    def answer(handler: Handler) -> None:
        handler.send_response(401)
        for _ in range(50):
            handler.send_header("WWW-Authenticate", header)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    begin = time.monotonic()
    always(mini, answer)
    with pytest.raises(BuilderError):
        get(mini)
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize(("name", "value"), [
    ("Content-Length", "9" * 5000), ("Content-Length", "-1"),
    ("Docker-Content-Digest", "sha256:" + "Z" * 64), ("Docker-Content-Digest", "sha512:" + "0" * 128),
    ("Content-Type", "\u00ff" * 1000), ("X", "y" * 70_000), ("Content-Encoding", "gzip"),
])
def test_headers_may_say_anything(mini: MiniRegistry, name: str, value: str) -> None:
    def answer(handler: Handler) -> None:
        handler.send_response(200)
        for key, said in {"Content-Length": "2", "Content-Type": OCI_MANIFEST, name: value}.items():
            handler.send_header(key, said)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(b"{}")
        handler.close_connection = True

    always(mini, answer)
    reference = Reference(mini.domain, "team/app", "t")
    for ask in (lambda: quick_head(reference, QUICK), lambda: RegistryClient(QUICK).head_manifest(reference),
                lambda: RegistryClient(QUICK).get_manifest(reference)):
        try:
            ask()
        except BuilderError:
            continue


@pytest.mark.parametrize("when", ["9" * 400, "Mon, 99 Foo 99999 99:99:99 GMT", "Fri, 31 Dec 9999 23:59:59 GMT",
                                  "Mon, 01 Jan 0001 00:00:00 -2359", "\u0663", "1e9", "-5"])
def test_a_time_to_wait_may_be_anything(mini: MiniRegistry, when: str) -> None:
    always(mini, lambda h: h.answer(429, Retry_After=when))
    begin = time.monotonic()
    with pytest.raises(BuilderError):
        get(mini)
    assert time.monotonic() - begin < 5


# -- bodies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 307, 400, 401, 404, 503])
def test_an_endless_body_is_not_read(mini: MiniRegistry, status: int) -> None:
    sent = 0

    def endless(handler: Handler) -> None:
        nonlocal sent
        handler.send_response(status)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.send_header("Location", handler.path)
        handler.send_header("WWW-Authenticate", "Basic realm=x")
        handler.end_headers()
        handler.close_connection = True
        piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        try:
            while sent < 256 << 20:
                handler.wfile.write(piece)
                sent += len(piece)
        except OSError:
            pass

    always(mini, endless)
    tracemalloc.start()
    try:
        with pytest.raises(BuilderError):
            get(mini)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
    assert sent < 256 << 20


# -- layouts ---------------------------------------------------------------------------------------------------------


def test_a_layout_leads_nowhere_and_waits_for_nobody(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    secret = outside / digest_of(b"secret").removeprefix("sha256:")
    secret.write_bytes(b"secret")
    (outside / "index.json").write_text('{"schemaVersion": 2, "manifests": []}')
    layout = tmp_path / "layout"
    (layout / "blobs").mkdir(parents=True)
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    opened = OciLayout(layout)
    (layout / "index.json").symlink_to(outside / "index.json")
    with pytest.raises(NotALayout):
        opened.descriptors()
    (layout / "index.json").unlink()
    os.mkfifo(layout / "index.json")
    with pytest.raises(NotALayout, match="not a regular file"):
        opened.descriptors()
    (layout / "blobs" / "sha256").symlink_to(outside)
    with pytest.raises(BlobMissing):
        opened.open_blob(blob(b"secret"))
    (layout / "blobs" / "sha256").unlink()
    (layout / "blobs" / "sha256").mkdir()
    (layout / "blobs" / "sha256" / secret.name).symlink_to(secret)
    with pytest.raises(BlobMissing):
        opened.open_blob(blob(b"secret"))
    with pytest.raises(BuilderError, match="is not a sha256 digest"):
        opened.open_blob(Descriptor(media_type="x", digest=Digest("sha256:../../outside/x"), size=1))


def test_the_folder_of_a_layout_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "layout").mkdir()
    (tmp_path / "layout" / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (tmp_path / "layout" / "index.json").write_text('{"schemaVersion": 2, "manifests": []}')
    (tmp_path / "link").symlink_to("layout")
    assert OciLayout(tmp_path / "link").descriptors() == ()
