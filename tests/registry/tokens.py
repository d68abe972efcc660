"""The CNCF registry with token authorization, and the token server that it trusts."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from registry.servers import docker_registry

SERVICE, ISSUER = "test registry", "test issuer"
Grants = Callable[[str, str], set[str]]
"""(repository, what is asked for as `pull,push`) -> the actions that are granted; PermissionError refuses the token."""


class TokenServer:
    """Signs tokens with the key of `certificate` for what `grants` allows; `asked` holds the scopes of each request."""

    def __init__(self, certificate: tuple[Path, Path]) -> None:
        self.certificate, self.key = certificate
        self.grants: Grants = lambda repository, actions: set(actions.split(","))
        self.asked: list[list[str]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                scopes = parse_qs(urlsplit(self.path).query).get("scope", [])
                server.asked.append(scopes)
                try:
                    body, status = json.dumps({"token": server.token(scopes), "expires_in": 300}).encode(), 200
                except PermissionError:
                    body, status = b"{}", 403
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.realm = f"http://127.0.0.1:{self._http.server_address[1]}/token"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> TokenServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def token(self, scopes: list[str]) -> str:
        access = []
        for scope in scopes:
            kind, repository, actions = scope.split(":")
            access.append({"type": kind, "name": repository, "actions": sorted(self.grants(repository, actions))})
        now = int(time.time())
        der = "".join(line for line in self.certificate.read_text().splitlines() if "CERTIFICATE" not in line)
        signed = b".".join(map(_url64, (
            json.dumps({"typ": "JWT", "alg": "RS256", "x5c": [der]}).encode(),
            json.dumps({"iss": ISSUER, "aud": SERVICE, "sub": "tester", "jti": "1", "iat": now, "nbf": now - 5,
                        "exp": now + 300, "access": access}).encode())))
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(self.key)], input=signed,
                                   check=True, capture_output=True).stdout
        return (signed + b"." + _url64(signature)).decode()


@contextmanager
def token_registry(folder: Path, certificate: tuple[Path, Path]) -> Iterator[tuple[str, TokenServer]]:
    """The registry's `host:port` and the token server that it sends its clients to."""
    with TokenServer(certificate) as tokens, docker_registry(folder, auth=(
            f"auth: {{token: {{realm: '{tokens.realm}', service: '{SERVICE}', issuer: '{ISSUER}', "
            f"rootcertbundle: '{certificate[0]}'}}}}\n")) as domain:
        yield domain, tokens


def _url64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
