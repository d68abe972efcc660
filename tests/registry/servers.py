"""Registries to talk to: Debian's docker-registry, and a small in-process one that can misbehave on demand."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def sha(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@contextmanager
def docker_registry(folder: Path, auth: str = "") -> Iterator[str]:
    """Runs docker-registry on a free loopback port; yields `127.0.0.1:port`. `auth` is that part of its configuration.
    """
    program = shutil.which("docker-registry") or shutil.which("registry")
    assert program, "these tests need the Debian package docker-registry"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "registry.yml"
    config.write_text(
        "version: 0.1\nlog: {level: error}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n{auth}")
    process = subprocess.Popen([program, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "docker-registry does not answer"
                time.sleep(0.02)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


class MiniRegistry:
    """The distribution API but for deleting and listing, in memory. `faults` are asked before each request."""

    def __init__(self, auth: str = "", host: str = "127.0.0.1") -> None:
        self.auth = auth
        """"" for none, `basic`, `bearer`."""
        self.users = {"tester": "secret"}
        self.refresh_token = "refresh-me"
        self.tokens: set[str] = set()
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.faults: list[Callable[[Handler], bool]] = []
        """Each may answer a request itself and then returns True; it is dropped after that."""
        registry = self

        class Bound(Handler):
            owner = registry

        self._server = ThreadingHTTPServer((host, 0), Bound)
        self._server.daemon_threads = True
        self.domain = f"{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> MiniRegistry:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add_manifest(self, repository: str, tag: str, data: bytes, media_type: str = OCI_MANIFEST) -> str:
        digest = sha(data)
        self.manifests[repository, tag] = self.manifests[repository, digest] = (media_type, data)
        return digest

    def add_blob(self, repository: str, data: bytes) -> str:
        self.blobs[repository, sha(data)] = data
        return sha(data)

    def asked(self, method: str, part: str) -> list[dict[str, str]]:
        """The headers of all requests of this method whose path holds `part`."""
        return [headers for verb, path, headers in self.requests if verb == method and part in path]


class Handler(BaseHTTPRequestHandler):
    owner: MiniRegistry
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def handle_any(self) -> None:
        registry = self.owner
        length = int(self.headers.get("content-length") or 0)
        self.body = self.rfile.read(length)
        registry.requests.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
        for fault in registry.faults:
            if fault(self):
                registry.faults.remove(fault)
                return
        if self.path.startswith("/token"):
            self.serve_token()
        elif self.authorized():
            self.serve()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, status: int, code: str, **headers: str) -> None:
        self.answer(status, json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode(), **headers)

    def authorized(self) -> bool:
        registry, given = self.owner, self.headers.get("authorization", "")
        if not registry.auth:
            return True
        if registry.auth == "basic":
            if given and self.user_of(given):
                return True
            self.error(401, "UNAUTHORIZED", WWW_Authenticate='Basic realm="test, registry"')
            return False
        if given.removeprefix("Bearer ") in registry.tokens:
            return True
        repository = self.path.split("/v2/")[1].rsplit("/", 2)[0]
        self.error(401, "UNAUTHORIZED", WWW_Authenticate=(
            f'Bearer realm="http://{registry.domain}/token",service="test, service",'
            f'scope="repository:{repository}:pull"'))
        return False

    def user_of(self, header: str) -> str:
        import base64

        user, _, password = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
        return user if self.owner.users.get(user) == password else ""

    def serve_token(self) -> None:
        registry = self.owner
        form = parse_qs(self.body.decode())
        given = self.headers.get("authorization", "")
        good = form.get("refresh_token") == [registry.refresh_token] or (given and self.user_of(given))
        if not good and registry.users:
            self.error(401, "UNAUTHORIZED")
            return
        token = f"token{len(registry.tokens)}"
        registry.tokens.add(token)
        self.answer(200, json.dumps({"token": token, "expires_in": 300}).encode())

    def serve(self) -> None:
        registry = self.owner
        path = urlsplit(self.path).path
        if "/manifests/" in path:
            repository, _, name = path.removeprefix("/v2/").partition("/manifests/")
            if self.command == "PUT":
                digest = registry.add_manifest(repository, name, self.body, self.headers["content-type"])
                self.answer(201, Docker_Content_Digest=digest)
                return
            found = registry.manifests.get((repository, name))
            if found is None:
                self.error(404, "MANIFEST_UNKNOWN")
                return
            self.answer(200, found[1], Content_Type=found[0], Docker_Content_Digest=sha(found[1]))
        elif "/blobs/uploads/" in path:
            self.serve_upload(path.removeprefix("/v2/").partition("/blobs/")[0])
        elif "/blobs/" in path:
            repository, _, digest = path.removeprefix("/v2/").partition("/blobs/")
            self.serve_blob(registry.blobs.get((repository, digest)))
        elif path == "/v2/":
            self.answer(200, b"{}")
        else:
            self.error(404, "NAME_UNKNOWN")

    def serve_upload(self, repository: str) -> None:
        query = {key: value[0] for key, value in parse_qs(urlsplit(self.path).query).items()}
        if self.command == "POST":
            mounted = self.owner.blobs.get((query.get("from", ""), query.get("mount", "")))
            if mounted is not None:
                self.owner.add_blob(repository, mounted)
            self.answer(202 if mounted is None else 201, Location=f"/v2/{repository}/blobs/uploads/1")
        elif sha(self.body) == query["digest"]:
            self.owner.add_blob(repository, self.body)
            self.answer(201)
        else:
            self.error(400, "DIGEST_INVALID")

    def serve_blob(self, data: bytes | None) -> None:
        if data is None:
            self.error(404, "BLOB_UNKNOWN")
        elif (asked := self.headers.get("range")) is not None:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            self.answer(206, data[start:], Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.answer(200, data)


def over_tls(server: MiniRegistry, certificate: tuple[Path, Path]) -> MiniRegistry:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server._server.socket = context.wrap_socket(server._server.socket, server_side=True)
    return server
