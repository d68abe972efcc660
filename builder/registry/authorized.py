"""Requests to registries, with the authorization that they ask for. Knows nothing of manifests and blobs.

Importing this imports urllib3: do it only when a request is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from builder.http.failures import BadAnswer, Broken
from builder.http.httpclient import HttpClient, Request, Response
from builder.http.redirects import origin
from builder.http.retry import TRANSIENT, Retry, retry_after
from builder.http.tls import Trust
from builder.oci import decode_json
from builder.reference import Reference
from builder.registry.auth import Authorizer
from builder.registry.credentials import Keychain
from builder.registry.errors import CertificateRefused, RateLimited, ServerFailed, UnexpectedAnswer, Unreachable
from builder.registry.settings import Endpoint, RegistrySettings

_MAX_TOKEN_ANSWER = 1 << 20
_MAX_CHALLENGE = 8 << 10
_CERT_DIRS = ("/etc/docker/certs.d", "/etc/containers/certs.d", "~/.docker/certs.d", "~/.config/containers/certs.d")
_ONCE = Retry(retries=0)


class RegistryRequest(Request, frozen=True, kw_only=True):
    """Its URL begins with the path below an endpoint's base, or is whole (an upload location that a registry named)."""

    what: str
    """As messages name it."""
    repository: str = ""
    scopes: frozenset[str] = frozenset()
    retry: bool = True


def request_for(reference: Reference, method: str, path: str, *, actions: str = "pull", what: str = "",
                mount_from: str = "", **fields: object) -> RegistryRequest:
    """A request for `path` of the reference's repository (or a whole URL) that needs leave for `actions` there."""
    repository = reference.repository
    scopes = {f"repository:{repository}:{actions}"} | ({f"repository:{mount_from}:pull"} if mount_from else set())
    return RegistryRequest(
        method=method, url=path if "://" in path else f"/v2/{repository}/{path}", what=what or str(reference),
        repository=repository, scopes=frozenset(scopes), **fields)  # type: ignore[arg-type]  # RegistryRequest's own


class AuthorizedClient:
    """Sends requests to endpoints; safe for threads. An `Authorization` goes to the origin that it is for alone."""

    def __init__(self, settings: RegistrySettings) -> None:
        self.settings = settings
        self._http = HttpClient(_trust(settings, "", verify=True))
        self._keychain = Keychain(settings)
        self._authorizer = Authorizer(self._keychain, self._exchange)

    def send(self, endpoint: Endpoint, request: RegistryRequest) -> Response:
        """The answer with a status below 500 other than 401, 408 and 429; the body is not read yet.

        Raises Unreachable, CertificateRefused, Unauthorized, RateLimited, ServerFailed, UnexpectedAnswer.
        """
        retry = self.settings.retry if request.retry else _ONCE
        return retry.call(lambda: self._authorized(endpoint, request))

    def has_credentials(self, domain: str, repository: str) -> bool:
        return self._keychain.lookup(domain, repository) is not None

    def _authorized(self, endpoint: Endpoint, request: RegistryRequest) -> Response:
        if request.url.startswith("/"):
            request = msgspec.structs.replace(request, url=endpoint.base + request.url)
        header = self._authorizer.header(endpoint, request.scopes)
        response = self._once(endpoint, request, endpoint.base, header)
        if response.status != 401 or origin(response.url) != origin(endpoint.base):
            return response  # another host, that it redirected to, has no say in where credentials go
        challenge = ", ".join(response.headers.getlist("www-authenticate"))[:_MAX_CHALLENGE]
        response.drain()
        header = self._authorizer.answer(endpoint, request.repository, request.scopes, challenge,
                                         what=request.what, refused=header)
        return self._once(endpoint, request, endpoint.base, header)

    def _exchange(self, endpoint: Endpoint, request: Request) -> tuple[int, bytes]:
        asked = RegistryRequest(method=request.method, url=request.url, headers=request.headers, body=request.body,
                                body_size=request.body_size, what=f"{endpoint.domain} (token)", stay_home=True)
        response = self._once(endpoint, asked, request.url, request.authorization)
        with _explained(endpoint, asked.what):
            return response.status, response.read_all(_MAX_TOKEN_ANSWER)

    def _once(self, endpoint: Endpoint, request: RegistryRequest, home: str, authorization: str | None) -> Response:
        """One attempt; only the origin of `home` sees the authorization."""
        trust = _trust(self.settings, endpoint.domain, verify=endpoint.verify)
        with _explained(endpoint, request.what):
            response = self._http.send(msgspec.structs.replace(
                request, home=home, authorization=authorization or "", trust=trust, keep_tls=True))
        if response.status not in TRANSIENT:
            return response
        wait, body = retry_after(response.headers), response.excerpt()
        if response.status == 429:
            known = self.has_credentials(endpoint.domain, request.repository)
            raise RateLimited(endpoint.domain, wait, with_credentials=known)
        raise ServerFailed(request.what, response.status, error_detail(body), wait)


@contextmanager
def _explained(endpoint: Endpoint, what: str) -> Iterator[None]:
    """Raises what a failure of HTTP means for a registry."""
    try:
        yield
    except Broken as error:
        if error.certificate:
            raise CertificateRefused(endpoint.domain, str(error)) from error
        raise Unreachable(endpoint.domain, str(error), transient=error.transient) from error
    except BadAnswer as error:
        raise UnexpectedAnswer(what, str(error)) from error


def error_detail(body: bytes) -> str:
    """What the body of an error answer says, in words; "" if it says nothing."""
    try:
        errors = decode_json(body, _Errors).errors
    except msgspec.DecodeError:
        text = " ".join(body.decode(errors="replace").split())
        return "" if text.startswith("<") else text[:300]
    return "; ".join(f"{e.code}: {e.message}" if e.message else e.code for e in errors)[:1000]


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Errors(msgspec.Struct):
    errors: list[_Error] = []


def _trust(settings: RegistrySettings, domain: str, *, verify: bool) -> Trust:
    """For a registry, or with "" for the other servers that registries name."""
    authority = settings.certificates.get(domain) or settings.certificates.get("*")
    pair = settings.client_certificates.get(domain) or settings.client_certificates.get("*")
    return Trust(verify=verify, authorities=(authority,) if authority else (), pairs=(pair,) if pair else (),
                 folders=tuple(f"{folder}/{domain}" for folder in _CERT_DIRS) if domain else ())
