"""Pushing: blobs (skipped where the registry has them, mounted where a neighbour repository has them) and manifests."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import IO
from urllib.parse import quote, urljoin, urlsplit

from builder.oci import Descriptor, Digest, digest_of
from builder.reference import Reference
from builder.registry.client import RegistryClient
from builder.registry.errors import (
    DigestMismatch,
    NotFound,
    RateLimited,
    ServerFailed,
    Unauthorized,
    UnexpectedAnswer,
    Unreachable,
)
from builder.registry.transport import Request, Response, drain, redirected

OpenBlob = Callable[[], IO[bytes]]
"""Opens the blob at its start; called again for each attempt, closed after it."""


def push_blob(client: RegistryClient, reference: Reference, descriptor: Descriptor, open_blob: OpenBlob,
              mount_from: tuple[str, ...] = ()) -> bool:
    """Makes the blob part of the reference's repository; False when nothing had to be sent. Idempotent.

    `mount_from` names repositories of the same registry that may have it. What stands in the way of a mount (these
    credentials may not read there, the registry mounts nothing) is no failure: the blob is sent. Raises RegistryError.
    """
    if has_blob(client, reference, descriptor):
        return False
    location: str | None = None
    for repository in mount_from:
        location = _try_to_mount(client, reference, descriptor, repository)
        if location is None:
            return False
    attempts = client.settings.retries + 1
    for attempt in range(attempts):
        location = location or str(_start(client, reference, descriptor))
        try:
            _upload(client, reference, descriptor, open_blob, location)
            return True
        except (Unreachable, ServerFailed, RateLimited) as error:
            wait = error.retry_after if isinstance(error, RateLimited) else None
            if attempt + 1 == attempts or (wait or 0) > client.settings.max_wait:
                raise
        location = None  # what a failed upload left is gone or of unknown length
        time.sleep(client.settings.retry_delay * 2**attempt if wait is None else wait)
    raise AssertionError("the loop returns or raises")


def push_manifest(client: RegistryClient, reference: Reference, data: bytes, media_type: str) -> Digest:
    """Puts a manifest under the reference's tag, or by digest where it has none. Idempotent. Raises RegistryError."""
    digest = digest_of(data)
    response = client.write(reference, _request(
        reference, "PUT", f"/v2/{reference.repository}/manifests/{reference.tag or digest}",
        headers={"Content-Type": media_type}, body=data, body_size=len(data)))
    stored = response.headers.get("docker-content-digest", "")
    client.expect(response, {201, 200, 202}, reference)
    if stored.startswith("sha256:") and stored != digest:
        raise DigestMismatch(str(reference), digest, Digest(stored))
    return digest


def has_blob(client: RegistryClient, reference: Reference, descriptor: Descriptor) -> bool:
    path = f"/v2/{reference.repository}/blobs/{descriptor.digest}"
    response = client.write(reference, _request(reference, "HEAD", path))
    if response.status == 404:
        drain(response)
        return False
    client.expect(response, {200}, reference)
    return True


def _try_to_mount(client: RegistryClient, reference: Reference, descriptor: Descriptor, repository: str) -> str | None:
    """None when the blob was mounted, else the upload that the registry began instead, "" where it began none."""
    pair = f"{repository} {reference.name}"
    if pair in client.refused_mounts:
        return ""
    try:
        return _start(client, reference, descriptor, repository)
    except (Unauthorized, NotFound, UnexpectedAnswer, ServerFailed):
        client.refused_mounts.add(pair)
        return ""


def _start(client: RegistryClient, reference: Reference, descriptor: Descriptor,
           mount_from: str = "") -> str | None:
    """Where to upload to; None when `mount_from`'s blob was mounted instead."""
    query = f"?mount={quote(descriptor.digest, safe='')}&from={quote(mount_from, safe='')}" if mount_from else ""
    scopes = frozenset({f"repository:{mount_from}:pull"}) if mount_from else frozenset()
    response = client.write(reference, _request(
        reference, "POST", f"/v2/{reference.repository}/blobs/uploads/{query}", scopes=scopes, body=b""))
    location = response.headers.get("location", "")
    mounted = response.status == 201
    client.expect(response, {202, 201} if mount_from else {202}, reference)
    if mounted:
        return None
    if not location:
        raise UnexpectedAnswer(str(reference), "an upload without a location")
    return _within(response, location, str(reference))


def _upload(client: RegistryClient, reference: Reference, descriptor: Descriptor, open_blob: OpenBlob,
            location: str) -> None:
    joint = "&" if "?" in location else "?"
    response = client.write(reference, _request(
        reference, "PUT", f"{location}{joint}digest={quote(descriptor.digest, safe='')}",
        headers={"Content-Type": "application/octet-stream"}, body=open_blob, body_size=descriptor.size, retry=False))
    client.expect(response, {201, 204}, reference)


def _within(response: Response, location: str, what: str) -> str:
    """An absolute form of `location` that keeps to the scheme in use when it names the host in use.

    Registries behind a proxy that ends TLS often hand out `http://` for themselves. Raises UnexpectedAnswer for another
    host's plain http in an answer over https.
    """
    url = response.url or ""
    try:
        there, here = urlsplit(urljoin(url, location)), urlsplit(url)
    except ValueError as error:
        raise UnexpectedAnswer(what, f"an upload to what is no URL: {error}") from error
    if there.netloc == here.netloc:
        return there._replace(scheme=here.scheme).geturl()
    return redirected(url, location, what)


def _request(reference: Reference, method: str, path: str, *, scopes: frozenset[str] = frozenset(),
             **fields: object) -> Request:
    push = frozenset({f"repository:{reference.repository}:pull,push"})
    return Request(method=method, path=path, what=str(reference), repository=reference.repository,
                   scopes=push | scopes, **fields)  # type: ignore[arg-type]  # passed on to Request's own fields
