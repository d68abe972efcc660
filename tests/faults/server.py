"""A registry in memory that can refuse: what the checks of pulls, pushes and caches talk to."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .bases import INDEX, MANIFEST, Image, digest


class Registry:
    """`with Registry() as registry`: `name` is HOST:PORT. `refuse_mount` is the status of cross-repository mounts,
    `refuse_all` that of every request; `asked` lists METHOD PATH."""

    def __init__(self, refuse_mount: int = 0, refuse_all: int = 0) -> None:
        self.refuse_mount, self.refuse_all = refuse_mount, refuse_all
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.registry = self  # type: ignore[attr-defined]
        self.name = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Registry:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, repository: str, tag: str, images: Sequence[Image]) -> None:
        """One image, or an index of several."""
        for image in images:
            for name, data in image.blobs.items():
                self.blobs[repository, name] = data
            self._manifest(repository, image.manifest, MANIFEST, image.blobs[image.manifest])
        if len(images) == 1:
            self._manifest(repository, tag, MANIFEST, images[0].blobs[images[0].manifest])
        else:
            self._manifest(repository, tag, INDEX, json.dumps({
                "schemaVersion": 2, "mediaType": INDEX,
                "manifests": [image.descriptor() for image in images]}).encode())

    def _manifest(self, repository: str, reference: str, media_type: str, data: bytes) -> None:
        self.manifests[repository, reference] = self.manifests[repository, digest(data)] = (media_type, data)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int) -> None:
        code = {401: "UNAUTHORIZED", 403: "DENIED", 404: "NAME_UNKNOWN"}.get(status, "UNKNOWN")
        self._answer(status, json.dumps({"errors": [{"code": code, "message": "refused"}]}).encode(),
                     Content_Type="application/json")

    def _handle(self) -> None:
        registry: Registry = self.server.registry  # type: ignore[attr-defined]
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        registry.asked.append(f"{self.command} {self.path}")
        if registry.refuse_all:
            return self._refuse(registry.refuse_all)
        if url.path == "/v2/":
            return self._answer(200, b"{}")
        found = re.fullmatch(r"/v2/(.+)/(blobs/uploads|blobs|manifests)/?(.*)", url.path)
        if not found:
            return self._refuse(404)
        repository, kind, name = found.groups()
        if kind == "blobs/uploads":
            return self._upload(registry, repository, query, body)
        if kind == "manifests" and self.command == "PUT":
            registry._manifest(repository, name, self.headers.get("Content-Type") or MANIFEST, body)
            return self._answer(201, Docker_Content_Digest=digest(body))
        if kind == "manifests" and (repository, name) in registry.manifests:
            media_type, data = registry.manifests[repository, name]
            return self._answer(200, data, Content_Type=media_type, Docker_Content_Digest=digest(data))
        if kind == "blobs" and (repository, name) in registry.blobs:
            return self._answer(200, registry.blobs[repository, name])
        return self._refuse(404)

    def _upload(self, registry: Registry, repository: str, query: dict[str, str], body: bytes) -> None:
        if "mount" in query:
            if registry.refuse_mount:
                return self._refuse(registry.refuse_mount)
            held = registry.blobs.get((query.get("from", ""), query["mount"]))
            if held is not None:
                registry.blobs[repository, query["mount"]] = held
                return self._answer(201, Location=f"/v2/{repository}/blobs/{query['mount']}")
        key = (repository, "upload")
        if self.command == "POST":
            registry.blobs[key] = b""
        registry.blobs[key] = registry.blobs.get(key, b"") + body
        if "digest" in query:
            registry.blobs[repository, query["digest"]] = registry.blobs.pop(key)
            return self._answer(201, Location=f"/v2/{repository}/blobs/{query['digest']}")
        return self._answer(202, Location=f"/v2/{repository}/blobs/uploads/1", Range="0-0")

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = _handle  # noqa: N815
