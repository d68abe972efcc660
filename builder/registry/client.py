"""A client of the OCI distribution API 1.1: manifests and blobs of registries.

Nothing is handed out unverified: manifests are checked against their digest before they are returned, blobs while they
stream. One client serves many threads; it remembers tokens, and which of a registry's endpoints answers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import msgspec

from builder.errors import ImageError
from builder.http.failures import BadAnswer, Broken
from builder.http.httpclient import Response
from builder.oci import INDEX_TYPES, MANIFEST_TYPES, Descriptor, Digest, digest_of, parse_digest
from builder.reference import Reference
from builder.registry.authorized import AuthorizedClient, RegistryRequest, error_detail, request_for
from builder.registry.blob import BlobStream
from builder.registry.errors import (
    DigestMismatch,
    DownloadBroken,
    Missed,
    NotFound,
    RateLimited,
    ServerFailed,
    Unauthorized,
    UnexpectedAnswer,
    Unreachable,
)
from builder.registry.settings import Endpoint, RegistrySettings

ACCEPT = ", ".join([*sorted(MANIFEST_TYPES), *sorted(INDEX_TYPES), "*/*"])
MAX_MANIFEST = 4 << 20
"""Bytes; what distribution itself accepts."""
_DIGITS = 18
"""Of a size that is believed."""
_HTTP_TO_HTTPS = "HTTP request to an HTTPS server"

T = TypeVar("T")


class FetchedManifest(msgspec.Struct, frozen=True):
    data: bytes
    media_type: str
    digest: Digest

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(media_type=self.media_type, digest=self.digest, size=len(self.data))


class RegistryClient:
    def __init__(self, settings: RegistrySettings | None = None) -> None:
        self.settings = settings or RegistrySettings()
        self._sender = AuthorizedClient(self.settings)
        self._lock = threading.Lock()
        self._settled: dict[tuple[Endpoint, ...], Endpoint] = {}
        self.refused_mounts: set[str] = set()
        """From where to where the registry mounts nothing: it is not asked again for every layer."""

    def head_manifest(self, reference: Reference, *, retry: bool = True) -> Descriptor:
        """What the reference names now, without fetching it. Raises RegistryError."""
        def ask(alternatives: tuple[Endpoint, ...]) -> Descriptor:
            response = self._send(alternatives, _manifest_request(reference, "HEAD", retry=retry))
            response.drain()
            self._refuse(response, str(reference), reference.domain, reference.repository)
            return _described(response, reference)

        found = self._from_any_source(reference, ask)
        return found if found.digest else self.get_manifest(reference).descriptor

    def get_manifest(self, reference: Reference) -> FetchedManifest:
        """The manifest or index that the reference names. Raises RegistryError, DigestMismatch."""
        def ask(alternatives: tuple[Endpoint, ...]) -> FetchedManifest:
            response, data = self._get(alternatives, reference, _manifest_request(reference, "GET", retry=False))
            return _verified(data, response, reference)

        return self._from_any_source(reference, ask)

    def open_blob(self, reference: Reference, descriptor: Descriptor, *, hashing: bool = True) -> BlobStream:
        """A verifying stream of a blob of the reference's repository. Raises RegistryError. The caller closes it.

        Without `hashing` the caller checks the digest.
        """
        what = f"{reference.name}@{descriptor.digest}"

        def opener(alternatives: tuple[Endpoint, ...]) -> Callable[[int], Response]:
            def open_at(offset: int) -> Response:
                headers = {"Range": f"bytes={offset}-"} if offset else {}
                response = self._send(alternatives, request_for(
                    reference, "GET", f"blobs/{descriptor.digest}", what=what, headers=headers))
                self._refuse(response, what, reference.domain, reference.repository)
                return response

            return open_at

        def ask(alternatives: tuple[Endpoint, ...]) -> BlobStream:
            return BlobStream(opener(alternatives), descriptor, what, retries=self.settings.retries, hashing=hashing)

        return self._from_any_source(reference, ask)

    def check_login(self, domain: str) -> None:
        """Asks for `/v2/` with the stored credentials. Raises Unauthorized when they are refused."""
        response = self._send(self.settings.endpoints(domain), RegistryRequest(url="/v2/", what=domain))
        self._refuse(response, domain, domain)
        response.drain()

    def write(self, reference: Reference, request: RegistryRequest) -> Response:
        """Sends a request to the registry itself, never to a mirror; the caller judges the answer."""
        return self._send(self.settings.endpoints(reference.domain), request)

    def expect(self, response: Response, statuses: set[int], reference: Reference) -> None:
        """Drains an answer. Raises RegistryError unless its status is one of `statuses`."""
        if response.status in statuses:
            response.drain()
            return
        self._refuse(response, str(reference), reference.domain, reference.repository)
        raise UnexpectedAnswer(str(reference), f"status {response.status}")

    def _get(self, alternatives: tuple[Endpoint, ...], reference: Reference,
             request: RegistryRequest) -> tuple[Response, bytes]:
        """A manifest, asked for again when it breaks off."""
        def ask() -> tuple[Response, bytes]:
            response = self._send(alternatives, request)
            self._refuse(response, request.what, reference.domain, reference.repository)
            try:
                return response, response.read_all(MAX_MANIFEST)
            except Broken as error:
                response.close()
                raise DownloadBroken(request.what, str(error)) from error
            except BadAnswer as error:
                raise UnexpectedAnswer(request.what, str(error)) from error

        return self.settings.retry.call(ask)

    def _refuse(self, response: Response, what: str, domain: str, repository: str = "") -> None:
        """Raises the error that a status stands for; returns on success, the body unread."""
        status = response.status
        if status < 300:
            return
        detail = error_detail(response.excerpt())
        if status in {401, 403}:
            known = self._sender.has_credentials(domain, repository)
            raise Unauthorized(what, domain, detail=detail, with_credentials=known)
        if status == 404:
            raise NotFound(what, detail)
        raise UnexpectedAnswer(what, f"status {status}" + (f": {detail}" if detail else ""))

    def _from_any_source(self, reference: Reference, ask: Callable[[tuple[Endpoint, ...]], T]) -> T:
        *mirrors, last = self.settings.pull_sources(reference.domain)
        for alternatives in mirrors:
            try:
                return ask(alternatives)
            except Missed:
                continue
        return ask(last)

    def _send(self, alternatives: tuple[Endpoint, ...], request: RegistryRequest) -> Response:
        with self._lock:
            settled = self._settled.get(alternatives)
        if settled is None and len(alternatives) == 1:
            settled = alternatives[0]
        if settled is not None:
            return self._sender.send(settled, request)
        return self._first_contact(alternatives, request)

    def _first_contact(self, alternatives: tuple[Endpoint, ...], request: RegistryRequest) -> Response:
        """Tries the endpoints in turn and stays with the first that speaks HTTP."""
        first_error: Unreachable | None = None
        for endpoint in alternatives:
            try:
                response = self._sender.send(endpoint, msgspec.structs.replace(request, retry=False))
            except Unreachable as error:
                first_error = first_error or error
                continue
            except (ServerFailed, RateLimited):
                self._settle(alternatives, endpoint)
                return self._sender.send(endpoint, request)
            if response.status == 400 and _HTTP_TO_HTTPS in error_detail(response.excerpt()):
                continue
            self._settle(alternatives, endpoint)
            return response
        if first_error is None:
            raise UnexpectedAnswer(request.what, "it speaks neither http nor https")
        if first_error.transient and request.retry:
            return self._sender.send(alternatives[0], request)
        raise first_error

    def _settle(self, alternatives: tuple[Endpoint, ...], endpoint: Endpoint) -> None:
        with self._lock:
            self._settled[alternatives] = endpoint


def _manifest_request(reference: Reference, method: str, *, retry: bool = True) -> RegistryRequest:
    path = f"manifests/{reference.digest or reference.tag}"
    return request_for(reference, method, path, headers={"Accept": ACCEPT}, retry=retry)


def _described(response: Response, reference: Reference) -> Descriptor:
    """The descriptor in a HEAD's headers; its digest is "" when the registry does not say it."""
    digest = reference.digest or _header_digest(response, reference) or Digest("")
    length = response.headers.get("content-length", "")
    size = int(length) if length.isdecimal() and len(length) <= _DIGITS else 0
    return Descriptor(media_type=_media_type(response), digest=digest, size=size)


def _verified(data: bytes, response: Response, reference: Reference) -> FetchedManifest:
    expected = reference.digest or _header_digest(response, reference)
    digest = digest_of(data)
    if expected and digest != expected:
        raise DigestMismatch(str(reference), expected, digest)
    return FetchedManifest(data, _media_type(response), digest)


def _header_digest(response: Response, reference: Reference) -> Digest | None:
    text = response.headers.get("docker-content-digest")
    if not text or not text.startswith("sha256:"):
        return None
    try:
        return parse_digest(text)
    except ImageError as error:
        raise UnexpectedAnswer(str(reference), error.message) from error


def _media_type(response: Response) -> str:
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()
