"""HTTP to registries: connections, retries, redirects, authorization. Knows nothing of manifests and blobs.

An `Authorization` header goes to the origin it was made for and to no other; a redirect from https to http is refused.
What may pass (broken connections, 408, 429, 5xx) is tried again, with growing pauses and never longer than
`Retry-After` and the settings allow. urllib3 takes 80 ms to import: import this module only when a request is needed.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import msgspec
import urllib3
from urllib3.exceptions import HTTPError, SSLError

from builder.oci import decode_json
from builder.registry.auth import Authorizer, TokenAnswer, TokenRequest
from builder.registry.credentials import Keychain
from builder.registry.errors import CertificateRefused, RateLimited, ServerFailed, UnexpectedAnswer, Unreachable
from builder.registry.settings import Endpoint, RegistrySettings, is_loopback
from builder.version import __version__

USER_AGENT = f"builder/{__version__}"
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
_CONNECTIONS = 8
_SEND_BLOCK = 256 << 10
_MAX_TOKEN_ANSWER = 1 << 20
_MAX_ERROR_BODY = 64 << 10
_MAX_CHALLENGE = 8 << 10
_CERT_DIRS = ("/etc/docker/certs.d", "/etc/containers/certs.d", "~/.docker/certs.d", "~/.config/containers/certs.d")

Body = bytes | Callable[[], IO[bytes]]
"""Bytes, or what opens them anew for each attempt."""
Response = urllib3.BaseHTTPResponse


class Request(msgspec.Struct, frozen=True, kw_only=True):
    method: str
    path: str
    """Below the endpoint's base, or a whole URL (the upload location that a registry handed out)."""
    what: str
    """As messages name it."""
    repository: str = ""
    scopes: frozenset[str] = frozenset()
    headers: dict[str, str] = {}
    body: Body | None = None
    body_size: int = 0
    secret_body: bool = False
    """No redirect takes the body to another origin."""
    retry: bool = True


class Transport:
    """Sends requests to endpoints; safe for threads.

    Responses are streams: the caller releases or drains them. Their `url` is the one that answered, after redirects.
    """

    def __init__(self, settings: RegistrySettings) -> None:
        self.settings = settings
        self._keychain = Keychain(settings)
        self._authorizer = Authorizer(self._keychain, self._exchange)
        self._lock = threading.Lock()
        self._pools: dict[tuple[str, str, bool, str], urllib3.PoolManager] = {}

    def send(self, endpoint: Endpoint, request: Request) -> Response:
        """The answer with a status below 500 other than 401, 408 and 429; the body is not read yet.

        Raises Unreachable, CertificateRefused, Unauthorized, RateLimited, ServerFailed, UnexpectedAnswer.
        """
        attempts = self.settings.retries + 1 if request.retry else 1
        for attempt in range(attempts):
            last = attempt + 1 == attempts
            try:
                response = self._authorized(endpoint, request)
            except (HTTPError, OSError) as error:
                if last or not _may_pass(error):
                    raise _unreachable(endpoint, error) from error
                self._pause(attempt, None)
                continue
            if response.status not in _TRANSIENT:
                return response
            wait = _retry_after(response.headers)
            if last or (wait or 0) > self.settings.max_wait:
                raise self._given_up(endpoint, request, response, wait)
            drain(response)
            self._pause(attempt, wait)
        raise AssertionError("the loop returns or raises")

    def has_credentials(self, domain: str, repository: str) -> bool:
        return self._keychain.lookup(domain, repository) is not None

    def _given_up(self, endpoint: Endpoint, request: Request, response: Response, wait: float | None) -> Exception:
        if response.status == 429:
            drain(response)
            known = self.has_credentials(endpoint.domain, request.repository)
            return RateLimited(endpoint.domain, wait, with_credentials=known)
        return ServerFailed(request.what, response.status, error_detail(response))

    def _authorized(self, endpoint: Endpoint, request: Request) -> Response:
        header = self._authorizer.header(endpoint, request.scopes)
        response = self._once(endpoint, request, header)
        if response.status != 401 or _origin(response.url or "") != _origin(endpoint.base):
            return response  # another host, that it redirected to, has no say in where credentials go
        challenge = ", ".join(response.headers.getlist("www-authenticate"))[:_MAX_CHALLENGE]
        drain(response)
        header = self._authorizer.answer(endpoint, request.repository, request.scopes, challenge,
                                         what=request.what, refused=header)
        return self._once(endpoint, request, header)

    def _once(self, endpoint: Endpoint, request: Request, authorization: str | None) -> Response:
        url = endpoint.base + request.path if request.path.startswith("/") else request.path
        headers = {"User-Agent": USER_AGENT, **request.headers}
        if request.body is not None:
            headers["Content-Length"] = str(request.body_size)
        method, body = request.method, request.body
        for _ in range(_MAX_REDIRECTS + 1):
            if authorization and _origin(url) == _origin(endpoint.base):
                headers["Authorization"] = authorization
            else:
                headers.pop("Authorization", None)
            opened = body() if callable(body) else None
            try:
                response = self._pool(endpoint, url).request(
                    method, url, headers=headers, body=opened if opened is not None else body,  # type: ignore[arg-type]
                    redirect=False, retries=False, preload_content=False, decode_content=False,
                )
            finally:
                if opened is not None:
                    opened.close()
            response.url = url  # urllib3 only knows the path
            target = response.headers.get("location")
            if response.status not in _REDIRECTS or not target:
                return response
            drain(response)
            url = redirected(url, target, request.what)
            if request.secret_body and _origin(url) != _origin(endpoint.base):
                raise UnexpectedAnswer(request.what, "its token server redirects to another host")
            if response.status == 303:
                method, body = "GET", None
                headers.pop("Content-Length", None)
        raise UnexpectedAnswer(request.what, f"more than {_MAX_REDIRECTS} redirects")

    def _exchange(self, endpoint: Endpoint, request: TokenRequest) -> TokenAnswer:
        """One request to a token server, with `send`'s patience; the origin of its URL alone sees its credentials."""
        where = urlsplit(request.url)
        host = Endpoint(where.scheme, where.netloc, endpoint.domain, endpoint.verify)
        for attempt in range(self.settings.retries + 1):
            last = attempt == self.settings.retries
            try:
                response = self._once(host, Request(
                    method=request.method, path=request.url, what=endpoint.domain, body=request.body or None,
                    body_size=len(request.body), secret_body=True,
                    headers={k: v for k, v in request.headers.items() if k != "Authorization"},
                ), request.headers.get("Authorization"))
                body = read_limited(response, _MAX_TOKEN_ANSWER, f"{endpoint.domain} (token)")
            except (HTTPError, OSError) as error:
                if last or not _may_pass(error):
                    raise _unreachable(host, error) from error
                self._pause(attempt, None)
                continue
            wait = _retry_after(response.headers)
            if response.status not in _TRANSIENT or last or (wait or 0) > self.settings.max_wait:
                if response.status == 429:
                    raise RateLimited(endpoint.domain, wait, with_credentials="Authorization" in request.headers)
                return TokenAnswer(response.status, body)
            self._pause(attempt, wait)
        raise AssertionError("the loop returns or raises")

    def _pause(self, attempt: int, retry_after: float | None) -> None:
        backoff = self.settings.retry_delay * 2**attempt
        time.sleep(retry_after if retry_after is not None else backoff * random.uniform(0.75, 1.25))

    def _pool(self, endpoint: Endpoint, url: str) -> urllib3.PoolManager:
        where = urlsplit(url)
        proxy = _proxy_for(where.scheme, where.hostname or "")
        verify = endpoint.verify or where.netloc != endpoint.host
        domain = endpoint.domain if where.netloc == endpoint.host else ""
        key = (where.scheme, domain, verify, proxy)
        with self._lock:
            if key not in self._pools:
                self._pools[key] = self._new_pool(proxy, _tls(self.settings, domain, verify, where.scheme))
            return self._pools[key]

    def _new_pool(self, proxy: str, tls: dict[str, Any]) -> urllib3.PoolManager:
        timeout = urllib3.Timeout(connect=self.settings.connect_timeout, read=self.settings.read_timeout)
        options = {"maxsize": _CONNECTIONS, "timeout": timeout, "blocksize": _SEND_BLOCK, **tls}
        return urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)


def error_detail(response: Response) -> str:
    """What the body of an error answer says, in words; "" if it says nothing. Drains the response."""
    try:
        body = response.read(_MAX_ERROR_BODY)
        drain(response)
    except (HTTPError, OSError):
        return ""
    try:
        errors = decode_json(body, _Errors).errors
    except msgspec.DecodeError:
        text = " ".join(body.decode(errors="replace").split())
        return "" if text.startswith("<") else text[:300]
    return "; ".join(f"{e.code}: {e.message}" if e.message else e.code for e in errors)[:1000]


def drain(response: Response) -> None:
    """Reads the little that is left, so that the connection can be used again; else closes it."""
    try:
        if len(response.read(_MAX_ERROR_BODY)) < _MAX_ERROR_BODY:
            response.release_conn()
            return
    except (HTTPError, OSError):
        pass
    response.close()


def read_limited(response: Response, limit: int, what: str) -> bytes:
    """The whole body. Raises UnexpectedAnswer when it has more than `limit` bytes (nothing past that is read)."""
    chunks: list[bytes] = []
    size = 0
    while chunk := response.read(min(65536, limit + 1 - size)):
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            response.close()
            raise UnexpectedAnswer(what, f"more than {limit} bytes")
    response.release_conn()
    return b"".join(chunks)


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Errors(msgspec.Struct):
    errors: list[_Error] = []


def _origin(url: str) -> tuple[str, str]:
    where = urlsplit(url)
    return where.scheme, where.netloc.lower()


def redirected(url: str, target: str, what: str) -> str:
    """Where `target`, as an answer of `url` names it, leads. Raises UnexpectedAnswer: never from https to http."""
    try:
        there = urljoin(url, target)
        scheme = urlsplit(there).scheme if urlsplit(there).port != 0 else ""
    except ValueError as error:
        raise UnexpectedAnswer(what, f"a redirect to what is no URL: {error}") from error
    if scheme not in {"http", "https"} or (scheme == "http" and urlsplit(url).scheme == "https"):
        raise UnexpectedAnswer(what, f"a redirect to a {scheme or 'strange'} URL")
    return there


def _may_pass(error: Exception) -> bool:
    """Whether another attempt makes sense: not for unknown names, refused connections and refused certificates."""
    return not isinstance(error, SSLError | urllib3.exceptions.NewConnectionError)


def _unreachable(endpoint: Endpoint, error: Exception) -> Unreachable:
    reason = str(error)
    if reason.startswith(("<", "HTTP")):  # urllib3 puts the object's address in front
        reason = reason.partition(": ")[2]
    if isinstance(error, SSLError) and "CERTIFICATE" in reason.upper():
        return CertificateRefused(endpoint.domain, reason)
    return Unreachable(endpoint.domain, reason, transient=_may_pass(error))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait (RFC 9110, section 10.2.3: a number or a date)."""
    value = headers.get("retry-after")
    if value is None:
        return None
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError, TypeError):
        return None


def _proxy_for(scheme: str, host: str) -> str:
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all", "")
    if not proxy or is_loopback(host) or proxy_bypass(host):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def _tls(settings: RegistrySettings, domain: str, verify: bool, scheme: str) -> dict[str, Any]:
    """urllib3's TLS arguments; loading the system's CA files takes 20 ms, so only for https."""
    if scheme != "https":
        return {}
    import ssl

    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    authority = settings.certificates.get(domain) or settings.certificates.get("*")
    pair = settings.client_certificates.get(domain) or settings.client_certificates.get("*")
    authorities, pairs = [authority] if authority else [], [pair] if pair else []
    for folder in _CERT_DIRS if domain else ():
        home = Path(folder).expanduser() / domain
        authorities += [str(p) for p in sorted(home.glob("*.crt"))]
        pairs += [(str(p), str(p.with_suffix(".key"))) for p in sorted(home.glob("*.cert"))]
    for authority in authorities:
        context.load_verify_locations(authority)
    for certificate, key in pairs:
        context.load_cert_chain(certificate, key)
    return {"ssl_context": context} if verify else {"ssl_context": context, "assert_hostname": False}
