"""The client against servers that redirect, break off, drip, and against a proxy."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from context.servers import Answer, FileServer
from registry.conftest import certificate as certificate

from builder.http.failures import BadAnswer, Broken
from builder.http.httpclient import HttpClient, Request, Timeouts, basic
from builder.http.tls import Trust

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
Serve = Callable[[socket.socket], None]


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server


@contextmanager
def answering(serve: Serve, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """The URL of a server that reads the head of each request, answers as `serve` does, and hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            try:
                with context.wrap_socket(connection, server_side=True) if context else connection as opened:
                    while b"\r\n\r\n" not in opened.recv(65536):
                        pass
                    serve(opened)
            except OSError:
                continue

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"http{'s' if context else ''}://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def body(url: str, client: HttpClient | None = None) -> bytes:
    return (client or HttpClient()).send(Request(url=url)).read_all(10_000)


# -- redirects -----------------------------------------------------------------------------------------------------


def test_ten_requests_are_enough(server: FileServer) -> None:
    for n in range(9):
        server.routes[f"/{n}"] = Answer(status=302, headers=(("Location", f"/{n + 1}"),))
    server.routes["/9"] = Answer(b"found")
    assert body(f"{server.url}/0") == b"found"
    server.routes["/9"] = Answer(status=302, headers=(("Location", "/"),))
    with pytest.raises(BadAnswer, match=r"^stopped after 10 redirects$"):
        body(f"{server.url}/0")


def test_a_redirect_keeps_the_method_and_303_asks_for_another_page(server: FileServer) -> None:
    seen: list[str] = []

    def note(headers: Mapping[str, str]) -> Answer:
        seen.append(str(headers.get("content-length")))
        return Answer(b"done")

    server.routes["/there"] = note
    for status in (307, 303):
        server.routes["/here"] = Answer(status=status, headers=(("Location", "/there"),))
        HttpClient().send(Request(method="POST", url=f"{server.url}/here", body=b"", body_size=0)).drain()
    assert seen == ["0", "None"]


def test_credentials_stay_with_their_origin_and_come_back_to_it(server: FileServer) -> None:
    with FileServer() as other:
        server.routes["/a"] = Answer(status=302, headers=(("Location", f"{other.url}/b"),))
        other.routes["/b"] = Answer(status=302, headers=(("Location", f"{server.url}/c"),))
        server.routes["/c"] = Answer(b"found")
        request = Request(url=f"{server.url}/a", authorization="Bearer x")
        assert HttpClient().send(request).read_all(100) == b"found"
        assert [headers.get("authorization") for _, headers in server.requests] == ["Bearer x", "Bearer x"]
        assert [headers.get("authorization") for _, headers in other.requests] == [None]
        with pytest.raises(BadAnswer, match="another host"):
            HttpClient().send(Request(url=f"{server.url}/a", authorization="Bearer x", stay_home=True))


# -- proxies -------------------------------------------------------------------------------------------------------


def test_a_name_that_begins_like_an_address_of_this_machine_goes_through_the_proxy(
        server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.routes["http://127.files.invalid/f"] = Answer(b"through the proxy")
    monkeypatch.setenv("http_proxy", server.url)
    assert body("http://127.files.invalid/f") == b"through the proxy"


def test_this_machine_needs_no_proxy(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.routes["/f"] = Answer(b"direct")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert body(f"{server.url}/f") == b"direct"


def test_a_proxy_learns_no_password(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    HttpClient().send(Request(url="http://me:secret@files.invalid/f#part")).drain()
    assert [path for path, _ in server.requests] == ["http://files.invalid/f"]


def test_a_proxy_is_given_the_credentials_in_its_url_and_a_server_behind_it_is_not(
        server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def tunnel() -> None:
        with listener.accept()[0] as connection:
            heads.append(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 407 no\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=tunnel)
    thread.start()
    monkeypatch.setenv("http_proxy", server.url.replace("//", "//me:s%40cret@"))
    monkeypatch.setenv("https_proxy", f"http://me:s%40cret@127.0.0.1:{listener.getsockname()[1]}")
    HttpClient().send(Request(url="http://files.invalid/f", authorization="Bearer x")).drain()
    with pytest.raises(Broken, match="407"):
        HttpClient().send(Request(url="https://files.invalid/f", authorization="Bearer x"))
    thread.join(10)
    listener.close()
    expected = basic("me", "s@cret")
    assert [headers.get("proxy-authorization") for _, headers in server.requests] == [expected]
    assert f"Proxy-Authorization: {expected}".encode() in heads[0]
    assert b"Bearer" not in heads[0]
    server.routes["/f"] = Answer(b"direct")
    server.requests.clear()
    assert body(f"{server.url}/f") == b"direct"
    assert [headers.get("proxy-authorization") for _, headers in server.requests] == [None]


def test_no_message_shows_the_password_of_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for proxy in ("http://me:secret@h:99999", "http://me:secret@127.0.0.1:1", "socks5://me:secret@h:1"):
        monkeypatch.setenv("http_proxy", proxy)
        with pytest.raises(Broken) as failure:
            body("http://files.invalid/")
        assert "secret" not in str(failure.value)


# -- failures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("serve", "reason"), [
    (lambda s: None, "Connection aborted: Remote end closed connection without response"),
    (lambda s: s.sendall(b"SSH-2.0-x\r\n"), "Connection aborted: SSH-2.0-x"),
    (lambda s: s.sendall(HEAD + b"x" * 100), "unexpected EOF after 100 of 1000 bytes"),
])
def test_a_connection_that_breaks_may_pass(serve: Serve, reason: str) -> None:
    with answering(serve) as url, pytest.raises(Broken) as failure:
        body(url)
    assert str(failure.value).strip() == reason
    assert failure.value.transient


@pytest.mark.parametrize(("url", "reason"), [
    ("http://127.0.0.1:1/", r"^Failed to establish a new connection: \[Errno 111\] Connection refused$"),
    ("http://127.0.0.1:99999/", "Port out of range 0-65535"),
    ("http://[::1/", "Invalid IPv6 URL"), ("ftp://127.0.0.1/", "ftp"), ("http:///x", "No host specified"),
])
def test_what_cannot_be_reached_is_no_matter_of_time(url: str, reason: str) -> None:
    with pytest.raises(Broken, match=reason) as failure:
        body(url)
    assert not failure.value.transient
    assert " object at 0x" not in str(failure.value)


def test_a_proxy_that_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with pytest.raises(Broken, match=r"^Unable to connect to proxy: Failed to establish a new connection: .*refused$"):
        body("http://files.invalid/")


def test_tls(certificate: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    whole = HEAD + b"x" * 1000
    with answering(lambda s: s.sendall(whole), context) as url:
        with pytest.raises(Broken) as failure:
            body(url)
        assert (failure.value.certificate, failure.value.transient) == (True, False)
        assert body(url, HttpClient(Trust(authorities=(str(certificate[0]),)))) == b"x" * 1000
        assert body(url, HttpClient(Trust(verify=False))) == b"x" * 1000
        assert HttpClient().send(Request(url=url, trust=Trust(verify=False))).read_all(1000) == b"x" * 1000
    with answering(lambda s: s.sendall(HEAD + b"x"), context) as url, pytest.raises(Broken) as failure:
        body(url, HttpClient(Trust(verify=False)))
    assert failure.value.transient


def test_a_body_has_a_limit(server: FileServer) -> None:
    server.routes["/f"] = Answer(b"x" * 10_001)
    with pytest.raises(BadAnswer, match="more than 10000 bytes"):
        body(f"{server.url}/f")


# -- answers that lie ------------------------------------------------------------------------------------------------

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def without_end(start: bytes, block: bytes) -> Serve:
    """A server that stops when it is hung up on."""
    def serve(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(block * 1000)

    return serve


@pytest.mark.parametrize(("serve", "reason"), [
    (without_end(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"), "got more than 100 headers"),
    (without_end(b"HTTP/1.1 200 OK\r\na: ", b"x"), "got more than 65536 bytes"),
    (without_end(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "longer than 10 MiB"),
    (without_end(CHUNKED + b"0\r\n", b"a: b\r\n"), "longer than 10 MiB"),
    (without_end(CHUNKED, b"1"), "got more than 65536 bytes"),
    (lambda s: s.sendall(CHUNKED + b"-5\r\nabcde\r\n"), "must be non-negative"),
    (lambda s: s.sendall(CHUNKED + b"zz\r\nabcde\r\n"), "Connection broken"),
    (lambda s: s.sendall(HEAD.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n") + b"abc"), "unmatching values"),
    (lambda s: s.sendall(HEAD.replace(b"1000", b"9" * 18) + b"abc"), "unexpected EOF after 3 of 9{18} bytes"),
    (lambda s: s.sendall(b"HTTP/1.1 99999 OK\r\n\r\n"), "99999"),
], ids=["headers", "a header", "interim answers", "trailers", "length of a chunk", "negative chunk", "no chunk",
        "two lengths", "a length", "status"])
def test_an_answer_that_lies_or_never_ends_is_given_up(serve: Serve, reason: str) -> None:
    with answering(serve) as url, pytest.raises(Broken, match=reason):
        body(url)


# -- servers that drip ---------------------------------------------------------------------------------------------


def dripping(text: bytes, pause: float, at_once: bytes = b"") -> Serve:
    def serve(connection: socket.socket) -> None:
        connection.sendall(at_once)
        for byte in text:
            time.sleep(pause)
            connection.sendall(bytes([byte]))

    return serve


@pytest.mark.parametrize("serve", [dripping(HEAD, 1.2), dripping(b"x" * 1000, 1.2, HEAD)], ids=["head", "body"])
def test_an_answer_that_drips_is_given_up(serve: Serve) -> None:
    with answering(serve) as url, pytest.raises(Broken, match=r"\d+ bytes? in \d+ s are too slow$") as failure:
        body(url, HttpClient(timeouts=Timeouts(slow=1)))
    assert failure.value.transient


def test_a_slow_but_steady_answer_is_not() -> None:
    short = HEAD.replace(b"1000", b"12")
    with answering(dripping(b"x" * 12, 0.2, short)) as url:
        assert body(url, HttpClient(timeouts=Timeouts(slow=1))) == b"x" * 12


def test_a_slow_reader_is_not() -> None:
    with answering(lambda s: s.sendall(HEAD + b"x" * 1000)) as url:
        response = HttpClient(timeouts=Timeouts(slow=0.1)).send(Request(url=url))
        first = response.read(1)
        time.sleep(0.3)
        assert first + response.read(10_000) == b"x" * 1000


def test_a_server_that_sends_nothing_is_given_up(server: FileServer) -> None:
    with answering(lambda s: time.sleep(1)) as url, pytest.raises(Broken, match=r"^Read timed out\.") as failure:
        body(url, HttpClient(timeouts=Timeouts(read=0.2)))
    assert failure.value.transient
