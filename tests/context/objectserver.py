"""The reading half of three object stores' protocols, as real client libraries speak them, on a free loopback port."""

from __future__ import annotations

import http.server
import re
from typing import ClassVar
from urllib.parse import unquote

from .servers import Loopback

_PATHS = (re.compile(r"/download/storage/v1/b/(?P<bucket>[^/]+)/o/(?P<key>.+)"),
          re.compile(r"/account/(?P<bucket>[^/]+)/(?P<key>.+)"), re.compile(r"/(?P<bucket>[^/]+)/(?P<key>.+)"))
"""Google's, Azure's (path style, as its emulator has it) and Amazon's (path style)."""


class ObjectServer(Loopback):
    """`objects` by (bucket, key)."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}
        super().__init__(type("Handler", (_Handler,), {"objects": self.objects}))

    def environment(self) -> dict[str, str]:
        """What makes the clients of all three use this server."""
        azure = f"DefaultEndpointsProtocol=http;AccountName=account;AccountKey=a2V5;BlobEndpoint={self.url}/account;"
        return {"AWS_ENDPOINT_URL": self.url, "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key",
                "AWS_DEFAULT_REGION": "us-east-1", "STORAGE_EMULATOR_HOST": self.url,
                "AZURE_STORAGE_CONNECTION_STRING": azure, "NO_PROXY": "127.0.0.1"}


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: ClassVar[dict[tuple[str, str], bytes]]

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        match = next(found for pattern in _PATHS if (found := pattern.fullmatch(path)))
        content = self.objects.get((match["bucket"], unquote(match["key"])))
        if content is None:
            body = b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>'
            self.send_response(404)
            self._finish(body)
            return
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or self.headers.get("x-ms-range") or "")
        body = content[int(wanted[1]):int(wanted[2]) + 1] if wanted else content
        self.send_response(206 if wanted else 200)
        if wanted:
            first = int(wanted[1])
            self.send_header("Content-Range", f"bytes {first}-{first + len(body) - 1}/{len(content)}")
        self.send_header("ETag", '"etag"')
        self.send_header("Last-Modified", "Tue, 14 Nov 2023 22:13:20 GMT")
        self.send_header("x-ms-blob-type", "BlockBlob")
        self._finish(body)

    def _finish(self, body: bytes) -> None:
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
