"""HTTP sources: one file from a URL, as ADD and remote build contexts fetch it.

The answer is taken as Go's client takes it, and so BuildKit: a body that came with `Content-Encoding: gzip` is
unpacked, every status below 400 is success, and with a checksum only the content counts.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import os
import threading
import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec

from builder.errors import Cancelled, ContextError
from builder.http.failures import BadAnswer, Broken
from builder.http.retry import Retry
from builder.oci import Digest, decode_json
from builder.plan.url import split_url
from builder.plan.vertices import SourceHttp

if TYPE_CHECKING:
    from builder.http.httpclient import Response

_MODE = 0o600
_CHUNK = 1 << 20
_RETRY = Retry(retries=2, delay=0.2)
_STRONG_AFTER = 60  # seconds from Last-Modified to Date (RFC 9110, section 8.8.2.2)
_DEFAULT_NAME = "download"


class DownloadFailed(ContextError):
    """No answer, a wrong one, or an interrupted one."""

    code = "download"

    def __init__(self, url: str, cause: str) -> None:
        super().__init__(f"failed to download `{shown_url(url)}`: {cause}")


class BadStatus(ContextError):
    code = "download-status"

    def __init__(self, url: str, status: int) -> None:
        super().__init__(f"invalid response status {status}", notes=(f"URL: {shown_url(url)}",))


class ChecksumMismatch(ContextError):
    code = "digest-mismatch"

    def __init__(self, url: str, actual: str, expected: str, status: int) -> None:
        notes = [f"URL: {shown_url(url)}"]
        if not _is_success(status):
            notes.append(f"the server answered with status {status}")
        super().__init__(f"digest mismatch {actual}: {expected}", notes=tuple(notes))


class Status(enum.StrEnum):
    FRESH = "fresh"
    UNCHANGED = "unchanged"


class HttpFile(msgspec.Struct, frozen=True, kw_only=True):
    """A download; kept as it is, it is what the next download of the same URL is compared with."""

    filename: str
    digest: Digest
    """sha256 of the file."""
    size: int
    etag: str = ""
    last_modified: str = ""
    date: str = ""
    """Headers of the answer, as sent."""
    checksum: str = ""
    """What the file was verified against."""
    status: Status = Status.FRESH

    @property
    def mtime(self) -> int:
        """Of the file, in seconds: Last-Modified, or the epoch."""
        return _seconds(self.last_modified) or 0

    @classmethod
    def recalled(cls, kept: bytes | None) -> HttpFile | None:
        """What was kept of a download; None for nothing, and for what is damaged: the file is fetched again."""
        try:
            return None if kept is None else decode_json(kept, cls)
        except msgspec.DecodeError:
            return None


class HttpAccess(msgspec.Struct, frozen=True, kw_only=True):
    """What it takes to reach servers."""

    secret: Callable[[str], bytes | None]
    """The build secret with this id. Asked for HTTP_AUTH_HEADER_<host> and HTTP_AUTH_TOKEN_<host>."""
    cancelled: threading.Event | None = None


def fetch_http(op: SourceHttp, target_dir: str, access: HttpAccess, *, earlier: HttpFile | None = None) -> HttpFile:
    """Downloads `op.url` into a new file of `target_dir` with mode 0600.

    With `earlier`, nothing is written if the server says that it still holds: the result is `earlier` with that status.
    A server is not asked about a file that was verified against the same checksum.
    Connections that break are tried again. Raises BadStatus, ChecksumMismatch, DownloadFailed and Cancelled; then there
    is no file.
    """
    if split_url(op.url) is None or not urlsplit(op.url).hostname:
        raise DownloadFailed(op.url, "this is no valid URL")
    if earlier is not None and op.checksum:
        if op.checksum in {earlier.checksum, earlier.digest}:
            return _unchanged(earlier, op)
        earlier = None
    try:
        return _RETRY.call(_Download(op, target_dir, access, earlier).run)
    except (Broken, BadAnswer) as error:
        raise DownloadFailed(op.url, str(error)) from error


def safe_filename(name: str) -> str:
    """The last component of `name`, or `download` where that cannot name a file."""
    name = os.path.basename(name.strip().rstrip("/"))
    if name in {"", ".", ".."} or any(unicodedata.category(char) == "Cc" for char in name):
        return _DEFAULT_NAME
    return name


class _Download:
    def __init__(self, op: SourceHttp, target_dir: str, access: HttpAccess, earlier: HttpFile | None) -> None:
        from builder.http.httpclient import HttpClient

        self._op, self._access, self._earlier = op, access, earlier
        self._name = safe_filename(op.filename)
        self._path = os.path.join(target_dir, self._name)
        self._client = HttpClient()

    def run(self) -> HttpFile:
        """One attempt."""
        from builder.http.httpclient import Request

        request = Request(url=self._op.url, headers=self._headers(), authorization=self._authorization())
        with contextlib.closing(self._client.send(request)) as response:
            return self._take(response)

    def _take(self, response: Response) -> HttpFile:
        if self._earlier is not None and _is_unchanged(self._earlier, response):
            return _unchanged(self._earlier, self._op)
        if not _is_success(response.status) and not self._op.checksum:
            raise BadStatus(self._op.url, response.status)
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE)
        try:
            digest, size = self._write(response, fd)
            headers = response.headers
            file = HttpFile(filename=self._name, digest=digest, size=size, etag=headers.get("etag", ""),
                            last_modified=headers.get("last-modified", ""), date=headers.get("date", ""),
                            checksum=self._op.checksum)
            os.utime(self._path, (file.mtime, file.mtime))
        except BaseException:
            os.unlink(self._path)
            raise
        return file

    def _write(self, response: Response, fd: int) -> tuple[Digest, int]:
        expected, size = self._op.checksum, 0
        is_gzip = response.headers.get("content-encoding", "").lower() == "gzip"
        sha256 = hashlib.sha256()
        algorithm = expected.partition(":")[0] or "sha256"
        pinned = sha256 if algorithm == "sha256" else hashlib.new(algorithm)
        with open(fd, "wb") as file:
            os.fchmod(fd, _MODE)
            while chunk := response.read(_CHUNK, decode=is_gzip):
                if self._access.cancelled is not None and self._access.cancelled.is_set():
                    raise Cancelled("cancelled while downloading")
                sha256.update(chunk)
                if pinned is not sha256:
                    pinned.update(chunk)
                file.write(chunk)
                size += len(chunk)
        actual = f"{pinned.name}:{pinned.hexdigest()}"
        if expected and actual != expected:
            raise ChecksumMismatch(self._op.url, actual, expected, response.status)
        return Digest(f"sha256:{sha256.hexdigest()}"), size

    def _headers(self) -> dict[str, str]:
        headers = {"Accept-Encoding": "gzip"}
        if self._earlier is not None and self._earlier.etag:
            headers["If-None-Match"] = self._earlier.etag
        elif self._earlier is not None and _is_strong(self._earlier):
            headers["If-Modified-Since"] = self._earlier.last_modified
        return headers

    def _authorization(self) -> str:
        """From the secrets that the source names, else from those named after the host, where a token wins; else from
        the URL."""
        from builder.http.httpclient import basic

        op, parts = self._op, urlsplit(self._op.url)
        host = parts.hostname
        named = bool(op.auth_header_secret or op.auth_token_secret)
        header = op.auth_header_secret if named else f"HTTP_AUTH_HEADER_{host}"
        token = op.auth_token_secret if named else f"HTTP_AUTH_TOKEN_{host}"
        for name, scheme in ((token, "Bearer "), (header, "")):
            value = self._access.secret(name) if name else None
            if value is not None:
                text = value.decode("latin-1").rstrip("\r\n")
                if any(char in text for char in "\r\n\0"):  # the HTTP library would show it in its error
                    raise DownloadFailed(op.url, f"the secret `{name}` is not one line of text")
                return scheme + text
        if named:
            raise DownloadFailed(op.url, f"there is no secret `{token or header}`")
        return "" if parts.username is None else basic(unquote(parts.username), unquote(parts.password or ""))


def shown_url(url: str) -> str:
    """The URL without its password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if parts.password is None:
        return url
    return urlunsplit(parts._replace(netloc=f"{parts.username}:xxxxx@{parts.netloc.rpartition('@')[2]}"))


def _unchanged(earlier: HttpFile, op: SourceHttp) -> HttpFile:
    return msgspec.structs.replace(earlier, filename=safe_filename(op.filename), status=Status.UNCHANGED)


def _is_success(status: int) -> bool:
    return 200 <= status < 400 and status != 304


def _is_unchanged(earlier: HttpFile, response: Response) -> bool:
    """Some servers do not look at If-None-Match and send the same ETag again with the whole body."""
    if response.status == 304:
        return True
    etag = response.headers.get("etag", "").removeprefix("W/")
    return response.status == 200 and etag != "" and etag == earlier.etag.removeprefix("W/")


def _is_strong(file: HttpFile) -> bool:
    """Whether Last-Modified tells versions apart: content may change twice within a second."""
    modified, sent = _seconds(file.last_modified), _seconds(file.date)
    return modified is not None and sent is not None and sent - modified >= _STRONG_AFTER


def _seconds(date: str) -> int | None:
    """Of an HTTP date, which is always GMT; None if it is none."""
    from datetime import UTC, datetime
    from email.utils import parsedate

    parsed = parsedate(date)
    try:
        return max(0, int(datetime(*parsed[:6], tzinfo=UTC).timestamp())) if parsed is not None else None
    except (ValueError, OverflowError):
        return None
