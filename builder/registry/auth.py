"""Answers to a registry's `WWW-Authenticate`: Basic, and bearer tokens (distribution's token and OAuth2 endpoints).

Nothing is asked in advance: the first request to a repository goes without a token, the registry says what it wants,
and the token is kept until shortly before it expires, per registry and set of scopes.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from builder.http.httpclient import Request, basic
from builder.oci import decode_json
from builder.registry.credentials import Credentials, Keychain
from builder.registry.errors import Unauthorized, UnexpectedAnswer
from builder.registry.settings import Endpoint

_CHALLENGE = re.compile(r"(?:^|,)\s*([A-Za-z]+)(?=\s+[A-Za-z_]+\s*=|\s*(?:,|$))")
_PARAMETER = re.compile(r"([A-Za-z_]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s,]+))")
_DEFAULT_LIFETIME = 60.0
_LONGEST_LIFETIME = 86400.0
_MARGIN = 10.0
_CLIENT_ID = "builder"


class Challenge(msgspec.Struct, frozen=True):
    scheme: str
    """Lower case: `basic`, `bearer`."""
    parameters: dict[str, str] = {}


Exchange = Callable[[Endpoint, Request], tuple[int, bytes]]
"""Status and body of a token server's answer; neither header nor body follow a redirect to another host."""


def parse_challenges(header: str) -> list[Challenge]:
    """The challenges of a `WWW-Authenticate` header, in its order (RFC 9110, section 11.6.1)."""
    starts = [m for m in _CHALLENGE.finditer(header) if not _inside_quotes(header, m.start())]
    ends = [*(m.start() for m in starts[1:]), len(header)]
    found = []
    for match, end in zip(starts, ends, strict=False):
        pairs = _PARAMETER.findall(header[match.end():end])
        parameters = {key.lower(): re.sub(r"\\(.)", r"\1", quoted) or bare for key, quoted, bare in pairs}
        found.append(Challenge(match[1].lower(), parameters))
    return found


def _inside_quotes(text: str, position: int) -> bool:
    return re.sub(r"\\.", "", text[:position]).count('"') % 2 == 1


class Authorizer:
    """Keeps `Authorization` headers for registries; safe for threads."""

    def __init__(self, keychain: Keychain, exchange: Exchange) -> None:
        self._keychain = keychain
        self._exchange = exchange
        self._lock = threading.Lock()
        self._headers: dict[tuple[str, frozenset[str]], tuple[str, float]] = {}
        self._asking: dict[tuple[str, frozenset[str]], threading.Lock] = {}

    def header(self, endpoint: Endpoint, scopes: frozenset[str]) -> str | None:
        """What worked last time for these scopes, or None."""
        with self._lock:
            known = self._headers.get((endpoint.base, scopes))
        return known[0] if known and time.monotonic() < known[1] else None

    def answer(self, endpoint: Endpoint, repository: str, scopes: frozenset[str], challenge_header: str, *,
               what: str, refused: str | None) -> str:
        """The `Authorization` header for a request that got status 401 with `refused`. Raises Unauthorized for `what`.

        Of several threads that need one for the same scopes, one asks for all.
        """
        with self._lock:
            asking = self._asking.setdefault((endpoint.base, scopes), threading.Lock())
        with asking:
            known = self.header(endpoint, scopes)
            if known is not None and known != refused:
                return known
            return self._ask(endpoint, repository, scopes, challenge_header, what)

    def _ask(self, endpoint: Endpoint, repository: str, scopes: frozenset[str], challenge_header: str,
             what: str) -> str:
        credentials = self._keychain.lookup(endpoint.domain, repository)
        for challenge in parse_challenges(challenge_header):
            if challenge.scheme == "bearer" and challenge.parameters.get("realm"):
                header, lifetime = self._bearer(endpoint, challenge, scopes, credentials, what)
            elif challenge.scheme == "basic" and credentials is not None and credentials.user:
                header, lifetime = basic(credentials.user, credentials.password), float("inf")
            else:
                continue
            with self._lock:
                self._headers[endpoint.base, scopes] = (header, time.monotonic() + lifetime)
            return header
        raise Unauthorized(what, endpoint.domain, detail="", with_credentials=credentials is not None)

    def _bearer(self, endpoint: Endpoint, challenge: Challenge, scopes: frozenset[str],
                credentials: Credentials | None, what: str) -> tuple[str, float]:
        realm = challenge.parameters["realm"]
        try:
            where = urlsplit(realm)
            usable = bool(where.hostname) and where.port != 0
        except ValueError:
            usable = False
        if not usable or (where.scheme != "https" and (where.scheme != "http" or endpoint.scheme != "http")):
            raise UnexpectedAnswer(endpoint.domain, f"its token server `{realm}` is not an https URL")
        service = challenge.parameters.get("service", "")
        wanted = sorted(scopes | set(challenge.parameters.get("scope", "").split()))
        status, body = 404, b""
        if credentials and credentials.identity_token:
            status, body = self._exchange(endpoint, _oauth(realm, service, wanted, credentials.identity_token))
        if status in {404, 405}:
            status, body = self._exchange(endpoint, _token_get(realm, service, wanted, credentials))
        if status in {401, 403}:
            raise Unauthorized(what, endpoint.domain, detail=f"the token server answered with status {status}",
                               with_credentials=credentials is not None)
        if status != 200:
            raise UnexpectedAnswer(endpoint.domain, f"its token server answered with status {status}")
        return _read_token(endpoint, body)


def _oauth(realm: str, service: str, scopes: list[str], refresh_token: str) -> Request:
    form = {"grant_type": "refresh_token", "service": service, "scope": " ".join(scopes), "client_id": _CLIENT_ID,
            "refresh_token": refresh_token}
    body = urlencode(form).encode()
    return Request(method="POST", url=realm, headers={"Content-Type": "application/x-www-form-urlencoded"}, body=body,
                   body_size=len(body))


def _token_get(realm: str, service: str, scopes: list[str], credentials: Credentials | None) -> Request:
    query = [("scope", scope) for scope in scopes]
    if service:
        query.insert(0, ("service", service))
    header = basic(credentials.user, credentials.password) if credentials and credentials.user else ""
    joint = "&" if "?" in realm else "?"
    return Request(url=realm + joint + urlencode(query), authorization=header)


def _read_token(endpoint: Endpoint, body: bytes) -> tuple[str, float]:
    try:
        document = decode_json(body, dict[str, Any])
    except msgspec.DecodeError as error:
        raise UnexpectedAnswer(endpoint.domain, f"its token server's answer is not JSON ({error})") from error
    token = document.get("token") or document.get("access_token")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise UnexpectedAnswer(endpoint.domain, "its token server sent no token")
    lifetime = document.get("expires_in")
    if not isinstance(lifetime, int | float) or not lifetime > 0:
        lifetime = _DEFAULT_LIFETIME
    seconds = float(min(lifetime, _LONGEST_LIFETIME))
    return f"Bearer {token}", max(seconds - _MARGIN, seconds / 2)
