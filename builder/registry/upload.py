"""Pushing: blobs (skipped where the registry has them, mounted where a neighbour repository has them) and manifests."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import IO
from urllib.parse import quote, urljoin, urlsplit

from builder.http.failures import BadAnswer
from builder.http.httpclient import Response
from builder.http.redirects import redirected
from builder.oci import Descriptor, Digest, digest_of
from builder.reference import Reference
from builder.registry.authorized import request_for
from builder.registry.client import RegistryClient
from builder.registry.errors import (
    DigestMismatch,
    NotFound,
    ServerFailed,
    Unauthorized,
    UnexpectedAnswer,
)

_request = partial(request_for, actions="pull,push")

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
    begun: str | None = ""
    for repository in mount_from:
        begun = _try_to_mount(client, reference, descriptor, repository)
        if begun is None:
            return False
    locations = [begun] if begun else []

    def upload() -> None:  # anew each time: what a failed upload left is gone or of unknown length
        location = locations.pop() if locations else str(_start(client, reference, descriptor, retry=False))
        joint = "&" if "?" in location else "?"
        response = client.write(reference, _request(
            reference, "PUT", f"{location}{joint}digest={quote(descriptor.digest, safe='')}", retry=False,
            headers={"Content-Type": "application/octet-stream"}, body=open_blob, body_size=descriptor.size))
        client.expect(response, {201, 204}, reference)

    client.settings.retry.call(upload)
    return True


def push_manifest(client: RegistryClient, reference: Reference, data: bytes, media_type: str) -> Digest:
    """Puts a manifest under the reference's tag, or by digest where it has none. Idempotent. Raises RegistryError."""
    digest = digest_of(data)
    response = client.write(reference, _request(
        reference, "PUT", f"manifests/{reference.tag or digest}",
        headers={"Content-Type": media_type}, body=data, body_size=len(data)))
    stored = response.headers.get("docker-content-digest", "")
    client.expect(response, {201, 200, 202}, reference)
    if stored.startswith("sha256:") and stored != digest:
        raise DigestMismatch(str(reference), digest, Digest(stored))
    return digest


def has_blob(client: RegistryClient, reference: Reference, descriptor: Descriptor) -> bool:
    response = client.write(reference, _request(reference, "HEAD", f"blobs/{descriptor.digest}"))
    if response.status == 404:
        response.drain()
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
           mount_from: str = "", *, retry: bool = True) -> str | None:
    """Where to upload to; None when `mount_from`'s blob was mounted instead."""
    query = f"?mount={quote(descriptor.digest, safe='')}&from={quote(mount_from, safe='')}" if mount_from else ""
    response = client.write(reference, _request(
        reference, "POST", f"blobs/uploads/{query}", mount_from=mount_from, body=b"", retry=retry))
    location = response.headers.get("location", "")
    mounted = response.status == 201
    client.expect(response, {202, 201} if mount_from else {202}, reference)
    if mounted:
        return None
    if not location:
        raise UnexpectedAnswer(str(reference), "an upload without a location")
    return _within(response, location, str(reference))


def _within(response: Response, location: str, what: str) -> str:
    """An absolute form of `location` that keeps to the scheme in use when it names the host in use.

    Registries behind a proxy that ends TLS often hand out `http://` for themselves. Raises UnexpectedAnswer for another
    host's plain http in an answer over https.
    """
    try:
        there, here = urlsplit(urljoin(response.url, location)), urlsplit(response.url)
        if there.netloc == here.netloc:
            return there._replace(scheme=here.scheme).geturl()
        return redirected(response.url, location, keep_tls=True)
    except (ValueError, BadAnswer) as error:
        raise UnexpectedAnswer(what, f"an upload to `{location}`: {error}") from error
