"""Downloads from a real server. What BuildKit makes of the same answers is the measure."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from email.utils import formatdate
from pathlib import Path

import msgspec
import pytest

from builder.context.git import GitAccess
from builder.context.httpsource import (
    BadStatus,
    ChecksumMismatch,
    DownloadFailed,
    HttpAccess,
    HttpFile,
    Status,
    fetch_http,
    safe_filename,
    shown_url,
)
from builder.context.remotecontext import open_remote_context, remote_source
from builder.errors import Cancelled
from builder.plan.gitref import InvalidGitRef
from builder.plan.vertices import SourceGit, SourceHttp

from .servers import Answer, FileServer

BODY = b"hello over http\n"
MODIFIED = ("Last-Modified", "Tue, 14 Nov 2023 22:13:20 GMT")
ACCESS = HttpAccess(secret=lambda _: None)


@pytest.fixture(scope="module")
def running() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server


@pytest.fixture
def server(running: FileServer) -> FileServer:
    running.routes.clear()
    running.requests.clear()
    return running


def source(url: str, **fields: str) -> SourceHttp:
    return SourceHttp(url=url, filename="file", **fields)


def digest(body: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}"


def test_file(server: FileServer, tmp_path: Path) -> None:
    server.routes["/hello"] = Answer(BODY, headers=(MODIFIED, ("ETag", '"x"')))
    before = os.umask(0o777)
    try:
        file = fetch_http(source(f"{server.url}/hello?q=1#fragment"), str(tmp_path), ACCESS)
    finally:
        os.umask(before)
    assert file.digest == digest(BODY)
    assert (file.filename, file.size, file.etag, file.last_modified, file.status) == (
        "file", len(BODY), '"x"', MODIFIED[1], Status.FRESH)
    path = tmp_path / "file"
    assert path.read_bytes() == BODY
    assert path.stat().st_mode & 0o7777 == 0o600
    assert path.stat().st_mtime == file.mtime == 1_700_000_000
    assert server.requests[0][0] == "/hello?q=1"
    assert server.requests[0][1]["user-agent"].startswith("builder/")


@pytest.mark.parametrize(("header", "mtime"), [
    (None, 0), ("Tue, 14 Nov 2023 22:13:20 GMT", 1_700_000_000), ("Tuesday, 14-Nov-23 22:13:20 GMT", 1_700_000_000),
    ("Tue Nov 14 22:13:20 2023", 1_700_000_000), ("yesterday", 0), ("Tue, 99 Nov 2023 99:13:20 GMT", 0),
])
def test_mtime(server: FileServer, tmp_path: Path, header: str | None, mtime: int) -> None:
    server.routes["/f"] = Answer(BODY, headers=(("Last-Modified", header),) if header else ())
    fetch_http(source(f"{server.url}/f"), str(tmp_path), ACCESS)
    assert (tmp_path / "file").stat().st_mtime == mtime


@pytest.mark.parametrize(("encoding", "sent", "kept"), [
    ("gzip", gzip.compress(BODY, mtime=0), BODY), ("deflate", b"as it is", b"as it is"),
    ("", gzip.compress(BODY, mtime=0), None),
])
def test_content_encoding(server: FileServer, tmp_path: Path, encoding: str, sent: bytes, kept: bytes | None) -> None:
    server.routes["/f"] = Answer(sent, headers=(("Content-Encoding", encoding),) if encoding else ())
    file = fetch_http(source(f"{server.url}/f"), str(tmp_path), ACCESS)
    assert (tmp_path / "file").read_bytes() == (sent if kept is None else kept)
    assert file.digest == digest(sent if kept is None else kept)


@pytest.mark.parametrize(("status", "is_good"), [
    (200, True), (203, True), (300, True), (302, True), (304, False), (400, False), (404, False), (500, False),
])
def test_status(server: FileServer, tmp_path: Path, status: int, is_good: bool) -> None:
    server.routes["/f"] = Answer(b"" if status == 304 else BODY, status)
    if is_good:
        assert fetch_http(source(f"{server.url}/f"), str(tmp_path), ACCESS).size == len(BODY)
        return
    with pytest.raises(BadStatus) as error:
        fetch_http(source(f"{server.url}/f"), str(tmp_path), ACCESS)
    assert error.value.message == f"invalid response status {status}"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [
    ("file", "file"), ("", "download"), (".", "download"), ("..", "download"), ("a/b", "b"), ("a/", "a"),
    ("../../etc/passwd", "passwd"), (" a ", "a"), ("a\x01b", "download"), ("a\x85b", "download"),
    ("__unnamed__", "__unnamed__"),
])
def test_filename(name: tuple[str, str]) -> None:
    assert safe_filename(name[0]) == name[1]


# -- checksums -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_checksum(server: FileServer, tmp_path: Path, algorithm: str) -> None:
    server.routes["/f"] = Answer(BODY)
    good, wrong = digest(BODY, algorithm), digest(b"other", algorithm)
    file = fetch_http(source(f"{server.url}/f", checksum=good), str(tmp_path), ACCESS)
    assert file.digest == digest(BODY)
    (tmp_path / "file").unlink()
    with pytest.raises(ChecksumMismatch) as error:
        fetch_http(source(f"{server.url}/f", checksum=wrong), str(tmp_path), ACCESS)
    assert error.value.message == f"digest mismatch {good}: {wrong}"
    assert not list(tmp_path.iterdir())


def test_with_a_checksum_only_content_counts(server: FileServer, tmp_path: Path) -> None:
    server.routes["/f"] = Answer(BODY, 404)
    fetch_http(source(f"{server.url}/f", checksum=digest(BODY)), str(tmp_path), ACCESS)
    (tmp_path / "file").unlink()
    with pytest.raises(ChecksumMismatch) as error:
        fetch_http(source(f"{server.url}/f", checksum=digest(b"other")), str(tmp_path), ACCESS)
    assert error.value.notes[-1] == "the server answered with status 404"


# -- redirects -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["/there", "there", "{url}/there", "//{host}/there"])
def test_redirect(server: FileServer, tmp_path: Path, status: int, location: str) -> None:
    location = location.format(url=server.url, host=server.host)
    server.routes["/here"] = Answer(b"moved", status, (("Location", location),))
    server.routes["/there"] = Answer(BODY)
    assert fetch_http(source(f"{server.url}/here"), str(tmp_path), ACCESS).digest == digest(BODY)


def test_redirects_without_end(server: FileServer, tmp_path: Path) -> None:
    server.routes["/loop"] = Answer(b"", 302, (("Location", "/loop"),))
    with pytest.raises(DownloadFailed, match=r"stopped after 10 redirects$"):
        fetch_http(source(f"{server.url}/loop"), str(tmp_path), ACCESS)
    assert len(server.requests) == 10


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://example.com/x", "http://", "http://[::1", "data:,x"])
def test_redirect_to_where_nothing_is(server: FileServer, tmp_path: Path, location: str) -> None:
    server.routes["/f"] = Answer(b"", 302, (("Location", location),))
    with pytest.raises(DownloadFailed):
        fetch_http(source(f"{server.url}/f"), str(tmp_path), ACCESS)
    assert not list(tmp_path.iterdir())


# -- connections that fail -----------------------------------------------------------------------------------------


def test_truncated(server: FileServer, tmp_path: Path) -> None:
    server.routes["/f"] = Answer(BODY * 9, cut=20)
    with pytest.raises(DownloadFailed, match=r"unexpected EOF after 124 of 144 bytes$"):
        fetch_http(source(f"{server.url}/f"), str(tmp_path), ACCESS)
    assert len(server.requests) == 3
    assert not list(tmp_path.iterdir())


def test_truncated_once(server: FileServer, tmp_path: Path) -> None:
    def answer(_: Mapping[str, str]) -> Answer:
        return Answer(BODY, cut=5 if len(server.requests) == 1 else 0)

    server.routes["/f"] = answer
    assert fetch_http(source(f"{server.url}/f"), str(tmp_path), ACCESS).digest == digest(BODY)
    assert (tmp_path / "file").read_bytes() == BODY


@pytest.mark.parametrize(("url", "reason"), [
    ("http://127.0.0.1:1/x", "Connection refused"), ("http:///x", "this is no valid URL"),
    ("http://127.0.0.1:bad/x", "this is no valid URL"), ("http://127.0.0.1/\x01", "this is no valid URL"),
    ("http://127.0.0.1:99999/x", ""),
])
def test_no_answer(tmp_path: Path, url: str, reason: str) -> None:
    with pytest.raises(DownloadFailed) as error:
        fetch_http(source(url), str(tmp_path), ACCESS)
    assert error.value.message.startswith("failed to download `http:/")
    assert reason in error.value.message
    assert " object at 0x" not in error.value.message


def test_cancelled(server: FileServer, tmp_path: Path) -> None:
    event = threading.Event()
    event.set()
    server.routes["/f"] = Answer(BODY)
    with pytest.raises(Cancelled):
        fetch_http(source(f"{server.url}/f"), str(tmp_path), HttpAccess(secret=lambda _: None, cancelled=event))
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_left_alone(server: FileServer, tmp_path: Path) -> None:
    server.routes["/f"] = Answer(BODY)
    (tmp_path / "secret").write_text("mine")
    (tmp_path / "file").symlink_to("secret")
    with pytest.raises(FileExistsError):
        fetch_http(source(f"{server.url}/f"), str(tmp_path), ACCESS)
    assert (tmp_path / "secret").read_text() == "mine"
    assert (tmp_path / "file").is_symlink()


def test_proxy(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.routes["http://files.invalid/f"] = Answer(BODY)
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "internal.invalid")
    assert fetch_http(source("http://files.invalid/f"), str(tmp_path), ACCESS).digest == digest(BODY)
    with pytest.raises(DownloadFailed):
        fetch_http(source("http://internal.invalid/f"), str(tmp_path), ACCESS)


# -- downloading again ---------------------------------------------------------------------------------------------


def earlier(**fields: str) -> HttpFile:
    return msgspec.structs.replace(HttpFile(filename="old", digest=digest(BODY), size=len(BODY)), **fields)


def conditional(headers: Mapping[str, str]) -> Answer:
    is_same = headers.get("if-none-match") == '"x"' or headers.get("if-modified-since") == MODIFIED[1]
    return Answer(b"" if is_same else BODY, 304 if is_same else 200, (("ETag", '"x"'), MODIFIED))


@pytest.mark.parametrize("known", [
    {"etag": '"x"'}, {"etag": '"x"', "last_modified": MODIFIED[1]},
    {"last_modified": MODIFIED[1], "date": "Tue, 14 Nov 2023 22:14:20 GMT"},
])
def test_unchanged(server: FileServer, tmp_path: Path, known: dict[str, str]) -> None:
    server.routes["/f"] = conditional
    before = earlier(**known)
    file = fetch_http(source(f"{server.url}/f"), str(tmp_path), ACCESS, earlier=before)
    assert file == msgspec.structs.replace(before, filename="file", status=Status.UNCHANGED)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("known", [
    {}, {"etag": '"other"'}, {"etag": '"other"', "last_modified": MODIFIED[1], "date": formatdate(usegmt=True)},
    {"last_modified": MODIFIED[1]}, {"last_modified": MODIFIED[1], "date": MODIFIED[1]},
])
def test_changed_or_not_certain(server: FileServer, tmp_path: Path, known: dict[str, str]) -> None:
    server.routes["/f"] = conditional
    file = fetch_http(source(f"{server.url}/f"), str(tmp_path), ACCESS, earlier=earlier(**known))
    assert (file.status, file.etag) == (Status.FRESH, '"x"')
    assert (tmp_path / "file").read_bytes() == BODY


@pytest.mark.parametrize("etags", [('"x"', '"x"'), ('W/"x"', '"x"'), ('"x"', 'W/"x"')])
def test_the_same_etag_without_a_304(server: FileServer, tmp_path: Path, etags: tuple[str, str]) -> None:
    server.routes["/f"] = Answer(BODY, headers=(("ETag", etags[1]),))
    file = fetch_http(source(f"{server.url}/f"), str(tmp_path), ACCESS, earlier=earlier(etag=etags[0]))
    assert file.status is Status.UNCHANGED


def test_a_checksum_wins_over_an_etag(server: FileServer, tmp_path: Path) -> None:
    server.routes["/f"] = conditional
    before = earlier(etag='"x"', digest=digest(b"other"))
    op = source(f"{server.url}/f", checksum=digest(BODY))
    assert fetch_http(op, str(tmp_path), ACCESS, earlier=before).status is Status.FRESH


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_what_was_verified_needs_no_server(tmp_path: Path, server: FileServer, algorithm: str) -> None:
    server.routes["/f"] = Answer(BODY)
    op = source(f"{server.url}/f", checksum=digest(BODY, algorithm))
    before = fetch_http(op, str(tmp_path), ACCESS)
    file = fetch_http(op, str(tmp_path), ACCESS, earlier=before)
    assert (file.status, file.digest, len(server.requests)) == (Status.UNCHANGED, digest(BODY), 1)


# -- credentials ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fields", "secrets", "expected"), [
    ({}, {}, None),
    ({}, {"HTTP_AUTH_HEADER_127.0.0.1": b"Custom abc"}, "Custom abc"),
    ({}, {"HTTP_AUTH_TOKEN_127.0.0.1": b"abc\n"}, "Bearer abc"),
    ({}, {"HTTP_AUTH_TOKEN_127.0.0.1": b"abc", "HTTP_AUTH_HEADER_127.0.0.1": b"x"}, "Bearer abc"),
    ({}, {"HTTP_AUTH_TOKEN_example.com": b"abc", "HTTP_AUTH_TOKEN_": b"abc"}, None),
    ({"auth_header_secret": "mine"}, {"mine": b"Custom abc", "HTTP_AUTH_TOKEN_127.0.0.1": b"x"}, "Custom abc"),
    ({"auth_token_secret": "mine"}, {"mine": b"abc"}, "Bearer abc"),
])
def test_secrets(server: FileServer, tmp_path: Path, fields: dict[str, str], secrets: dict[str, bytes],
                 expected: str | None) -> None:
    server.routes["/f"] = Answer(BODY)
    fetch_http(source(f"{server.url}/f", **fields), str(tmp_path), HttpAccess(secret=secrets.get))
    assert server.requests[0][1].get("authorization") == expected


def test_a_named_secret_must_exist(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="there is no secret `mine`"):
        fetch_http(source(f"{server.url}/f", auth_header_secret="mine"), str(tmp_path), ACCESS)
    assert not server.requests


def test_a_secret_cannot_add_headers(server: FileServer, tmp_path: Path) -> None:
    secrets = {"HTTP_AUTH_HEADER_127.0.0.1": b"hidden\r\nEvil: 1"}
    with pytest.raises(DownloadFailed, match="is not one line of text") as failure:
        fetch_http(source(f"{server.url}/f"), str(tmp_path), HttpAccess(secret=secrets.get))
    assert "hidden" not in f"{failure.value} {failure.value.cause} {failure.value.__cause__}"
    assert not server.requests


def test_user_and_password_of_the_url(server: FileServer, tmp_path: Path) -> None:
    server.routes["/f"] = Answer(BODY)
    fetch_http(source(f"http://me:p%40ss@{server.host}/f"), str(tmp_path), ACCESS)
    assert server.requests[0][1]["authorization"] == "Basic bWU6cEBzcw=="
    with pytest.raises(BadStatus) as error:
        fetch_http(source(f"http://me:p%40ss@{server.host}/none"), str(tmp_path), ACCESS)
    assert error.value.notes == (f"URL: http://me:xxxxx@{server.host}/none",)
    assert shown_url("http://h/x") == "http://h/x"


def test_credentials_stay_with_their_origin(server: FileServer, tmp_path: Path) -> None:
    with FileServer() as other:
        server.routes["/home"] = Answer(b"", 302, (("Location", "/again"),))
        server.routes["/again"] = Answer(b"", 302, (("Location", f"{other.url}/away"),))
        other.routes["/away"] = Answer(BODY)
        access = HttpAccess(secret={"HTTP_AUTH_TOKEN_127.0.0.1": b"abc"}.get)
        fetch_http(source(f"{server.url}/home"), str(tmp_path), access)
        assert [headers.get("authorization") for _, headers in server.requests] == ["Bearer abc", "Bearer abc"]
        assert [headers.get("authorization") for _, headers in other.requests] == [None]


# -- build contexts ------------------------------------------------------------------------------------------------


def test_remote_source() -> None:
    remote = "https://example.com/x.git"
    assert remote_source(f"{remote}#v1:sub") == SourceGit(remote=remote, ref="v1", subdir="sub")
    assert remote_source("github.com/a/b") == SourceGit(remote="https://github.com/a/b")
    assert remote_source("git@example.com:x") == SourceGit(remote="git@example.com:x")
    assert remote_source(f"{remote}?submodules=0&keep-git-dir=1&commit=ab") == SourceGit(
        remote=remote, submodules=False, keep_git_dir=True, checksum="ab")
    assert remote_source(remote, keep_git_dir=True, commit_times=True) == SourceGit(
        remote=remote, keep_git_dir=True, mtime="commit")
    assert remote_source(f"{remote}?mtime=checkout", commit_times=True) == SourceGit(remote=remote, mtime="checkout")
    assert remote_source("https://example.com/x.tar.gz") == SourceHttp(
        url="https://example.com/x.tar.gz", filename="context")
    for local in (".", "dir", "/abs", "./github.com/a/b", "ftp://example.com/x", "-"):
        assert remote_source(local) is None
    with pytest.raises(InvalidGitRef):
        remote_source(f"{remote}?nope=1")


@pytest.mark.parametrize("tar", [
    ("--format=v7",), ("--format=ustar",), ("--format=gnu",), ("--format=pax",), ("-z",), ("-j",), ("-J",),
])
def test_context_from_an_archive(server: FileServer, tmp_path: Path, tar: tuple[str, ...]) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "context").write_text("an entry of that name")
    (tmp_path / "from" / "Dockerfile").write_text("FROM scratch")
    body = subprocess.run(["tar", *tar, "-c", "context", "Dockerfile"], cwd=tmp_path / "from", check=True,
                          capture_output=True).stdout
    server.routes["/f"] = Answer(body)
    assert opened(f"{server.url}/f", tmp_path) is None
    assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == {
        "context": "an entry of that name", "Dockerfile": "FROM scratch"}


@pytest.mark.parametrize("body", [b"FROM scratch\n", b"", bytes(1024), b"FROM x\n" * 200])
def test_context_that_is_a_dockerfile(server: FileServer, tmp_path: Path, body: bytes) -> None:
    server.routes["/f"] = Answer(body)
    assert opened(f"{server.url}/f", tmp_path) == "context"
    assert [path.read_bytes() for path in (tmp_path / "out").iterdir()] == [body]


def opened(url: str, tmp_path: Path) -> str | None:
    known = remote_source(url)
    assert known is not None
    (tmp_path / "out").mkdir()
    git = GitAccess(cache_dir=str(tmp_path / "git"), secret=lambda _: None)
    return open_remote_context(known, str(tmp_path / "out"), git=git, http=ACCESS).dockerfile
