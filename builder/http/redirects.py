"""Which server a URL names, and where an answer may lead."""

from __future__ import annotations

from builder.http.failures import BadAnswer

_PORTS = {"http": 80, "https": 443}


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port: what is meant for one origin goes to no other (RFC 6454). Raises ValueError."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme)


def redirected(url: str, target: str, *, keep_tls: bool) -> str:
    """The URL that `target`, as an answer of `url` names it, leads to. Raises BadAnswer.

    With `keep_tls` never from https to http.
    """
    from urllib.parse import urljoin, urlsplit

    try:
        there = urljoin(url, target)
        parts = urlsplit(there)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise BadAnswer(f"a redirect to what is no URL: {error}") from error
    downgraded = keep_tls and url.startswith("https:") and parts.scheme == "http"
    if parts.scheme not in _PORTS or downgraded:
        raise BadAnswer(f"a redirect to a {parts.scheme} URL")
    if not usable:
        raise BadAnswer(f"a redirect to `{target}`, which names no server")
    return there
