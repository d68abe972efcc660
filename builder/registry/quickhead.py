"""The one request of a build that has nothing to do: which manifest a tag names now, over a plain socket.

It serves registries on this machine that speak plain http without authorization, and saves the 80 ms that importing an
HTTP library takes. Whatever else it meets it answers with None; the full client then finds out and explains.
"""

from __future__ import annotations

import _socket

from builder.errors import ImageError
from builder.http.loopback import is_loopback
from builder.oci import INDEX_TYPES, MANIFEST_TYPES, Descriptor, parse_digest
from builder.reference import Reference
from builder.registry.settings import RegistrySettings

_SECONDS = 5.0
_MAX_HEAD = 16 << 10


def quick_head(reference: Reference, settings: RegistrySettings) -> Descriptor | None:
    """The descriptor that the registry has for the tag, or None if it takes more than this to find out."""
    domain = reference.domain
    if not is_loopback(domain) or domain.startswith("[") or domain in settings.mirrors or not reference.tag:
        return None
    name, _, port = domain.partition(":")
    accept = ", ".join(sorted(MANIFEST_TYPES | INDEX_TYPES))
    request = (f"HEAD /v2/{reference.repository}/manifests/{reference.tag} HTTP/1.1\r\nHost: {domain}\r\n"
               f"Accept: {accept}\r\nUser-Agent: builder\r\nConnection: close\r\n\r\n")
    address = ("127.0.0.1" if name == "localhost" else name, int(port or 80))
    try:
        head = _exchange(address, request.encode())
    except (OSError, OverflowError):  # OverflowError: no such port
        return None
    return _descriptor(head)


def _exchange(address: tuple[str, int], request: bytes) -> bytes:
    connection = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    try:
        connection.settimeout(_SECONDS)
        connection.connect(address)
        connection.send(request)
        head = b""
        while b"\r\n\r\n" not in head and len(head) < _MAX_HEAD:
            data = connection.recv(_MAX_HEAD)
            if not data:
                break
            head += data
        return head.partition(b"\r\n\r\n")[0]
    finally:
        connection.close()


def _descriptor(head: bytes) -> Descriptor | None:
    status, *lines = head.decode("latin-1").split("\r\n")
    if not status.startswith("HTTP/1.") or status.split(" ")[1:2] != ["200"]:
        return None
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    media_type = headers.get("content-type", "").partition(";")[0]
    length = headers.get("content-length", "")
    if media_type not in MANIFEST_TYPES | INDEX_TYPES or not length.isdecimal() or len(length) > 18:
        return None
    try:
        digest = parse_digest(headers.get("docker-content-digest", ""))
    except ImageError:
        return None
    return Descriptor(media_type=media_type, digest=digest, size=int(length))
