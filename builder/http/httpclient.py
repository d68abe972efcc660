"""The one HTTP client: connections, proxies, redirects. urllib3 takes 75 ms to import, so import this when needed.

What Go's net/http does is the measure, as BuildKit and docker speak through it: its timeout for connecting, ten
requests at most for a chain of redirects, the environment's proxies but for this machine. Stricter than Go:
credentials stay with their origin, not only with their host.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from typing import IO
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

import msgspec
import urllib3
from urllib3.exceptions import HTTPError

from builder.http.failures import BadAnswer, Broken, broken
from builder.http.loopback import is_loopback
from builder.http.redirects import origin, redirected
from builder.http.steady import pool_classes
from builder.http.tls import Trust, tls_options
from builder.version import __version__

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REQUESTS = 10
_CONNECTIONS = 8
_SEND_BLOCK = 256 << 10
_MAX_EXCERPT = 64 << 10

Body = bytes | Callable[[], IO[bytes]]
"""Bytes, or what opens them anew for each attempt."""


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds."""

    connect: float = 30.0
    read: float = 120.0
    """Until the next byte of an answer."""
    slow: float = 300.0
    """For which an answer may bring less than a byte a second."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    method: str = "GET"
    url: str
    headers: dict[str, str] = {}
    body: Body | None = None
    body_size: int = 0
    home: str = ""
    """The server that the next two are for, as a URL; else `url`."""
    authorization: str = ""
    trust: Trust | None = None
    """The client's, where None."""
    stay_home: bool = False
    """Follow no redirect to another origin."""
    keep_tls: bool = False
    """Follow no redirect from https to http."""


class Response:
    """An answer, whose body is a stream: the caller closes or drains it. All reading raises Broken."""

    def __init__(self, raw: urllib3.BaseHTTPResponse, url: str) -> None:
        self._raw = raw
        self.status = raw.status
        self.headers = raw.headers
        """Names in any case; `getlist` for all values."""
        self.url = url
        """The one that answered, after redirects."""

    def read(self, size: int, *, decode: bool = False) -> bytes:
        """The next bytes, "" at the end; with `decode`, always or never, without its Content-Encoding."""
        try:
            return self._raw.read(size, decode_content=decode)
        except (HTTPError, OSError, ValueError) as error:  # ValueError: a chunk of a negative length
            raise broken(error) from error

    def read_all(self, limit: int) -> bytes:
        """The whole body. Raises BadAnswer when it has more than `limit` bytes (nothing past that is read)."""
        chunks: list[bytes] = []
        size = 0
        while chunk := self.read(min(65536, limit + 1 - size)):
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                self.close()
                raise BadAnswer(f"more than {limit} bytes")
        self._raw.release_conn()
        return b"".join(chunks)

    def excerpt(self) -> bytes:
        """The start of the body, "" if it is interrupted. Drains the answer."""
        try:
            return self.read(_MAX_EXCERPT)
        except Broken:
            return b""
        finally:
            self.drain()

    def drain(self) -> None:
        """Reads the little that is left, so that the connection can be used again; else closes it."""
        try:
            if len(self.read(_MAX_EXCERPT)) < _MAX_EXCERPT:
                self._raw.release_conn()
                return
        except Broken:
            pass
        self.close()

    def close(self) -> None:
        self._raw.close()


class HttpClient:
    """Keeps connections; safe for threads."""

    def __init__(self, trust: Trust | None = None, timeouts: Timeouts | None = None) -> None:
        """`trust` is for servers that a request does not call home."""
        self._trust, self._timeouts = trust or Trust(), timeouts or Timeouts()
        self._lock = threading.Lock()
        self._pools: dict[tuple[str, Trust, str], urllib3.PoolManager] = {}

    def send(self, request: Request) -> Response:
        """The answer after redirects; one without a location is an answer, as in Go. Raises Broken, BadAnswer."""
        url, home = request.url, request.home or request.url
        try:
            for _ in range(_MAX_REQUESTS):
                response = self._once(request, url, origin(url) == origin(home))
                target = response.headers.get("location")
                if response.status not in _REDIRECTS or not target:
                    return response
                response.drain()
                url = redirected(url, target, keep_tls=request.keep_tls)
                if request.stay_home and origin(url) != origin(home):
                    raise BadAnswer("a redirect to another host")
                if response.status == 303:
                    request = msgspec.structs.replace(request, method="GET", body=None)
        except (HTTPError, OSError, ValueError) as error:  # ValueError: an address, or a header with a line break
            raise broken(error) from error
        raise BadAnswer(f"stopped after {_MAX_REQUESTS} redirects")

    def _once(self, request: Request, url: str, is_home: bool) -> Response:
        parts = urlsplit(url)
        headers = {"User-Agent": f"builder/{__version__}", **request.headers}
        if request.authorization and is_home:
            headers["Authorization"] = request.authorization
        if request.body is not None:
            headers["Content-Length"] = str(request.body_size)
        trust = request.trust if parts.netloc == urlsplit(request.home or request.url).netloc else None
        opened = request.body() if callable(request.body) else None
        try:
            raw = self._pool(parts.scheme, parts.hostname or "", trust or self._trust).request(
                request.method, _without_user(parts),
                headers=headers, body=opened if opened is not None else request.body,  # type: ignore[arg-type]
                redirect=False, retries=False, preload_content=False, decode_content=False)
        finally:
            if opened is not None:
                opened.close()
        return Response(raw, url)

    def _pool(self, scheme: str, host: str, trust: Trust) -> urllib3.PoolManager:
        proxy = _proxy_for(scheme, host)
        key = (scheme, trust, proxy)
        with self._lock:
            if key not in self._pools:
                self._pools[key] = self._new_pool(proxy, tls_options(trust) if scheme == "https" else {})
            return self._pools[key]

    def _new_pool(self, proxy: str, tls: dict[str, object]) -> urllib3.PoolManager:
        timeout = urllib3.Timeout(connect=self._timeouts.connect, read=self._timeouts.read)
        options = {"maxsize": _CONNECTIONS, "timeout": timeout, "blocksize": _SEND_BLOCK, **tls}
        parts = urlsplit(proxy)
        headers = {} if parts.username is None else {
            "Proxy-Authorization": basic(unquote(parts.username), unquote(parts.password or ""))}
        proxy = _without_user(parts)
        pool = (urllib3.ProxyManager(proxy, proxy_headers=headers, **options) if proxy  # type: ignore[arg-type]
                else urllib3.PoolManager(**options))  # type: ignore[arg-type]
        pool.pool_classes_by_scheme = pool_classes(self._timeouts.slow)
        return pool


def basic(user: str, password: str) -> str:
    """The Authorization header for them (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _without_user(parts: SplitResult) -> str:
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))


def _proxy_for(scheme: str, host: str) -> str:
    """The URL of the proxy that the environment names; "" for none. This machine needs none."""
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all", "")
    if not proxy or is_loopback(host) or proxy_bypass(host):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"
