"""Real servers on free loopback ports: files over HTTP, git repositories over HTTP (git http-backend) and git://."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar, Self

import msgspec

COMMIT_TIME = 1_700_000_000
"""Of the first commit of each repository; each further one is 1000 seconds later."""
GIT_ENV = {
    "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "HOME": os.devnull, "PATH": os.environ["PATH"],
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.com",
}


class Answer(msgspec.Struct):
    body: bytes = b""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    cut: int = 0
    """Bytes of the body that are promised but not sent."""


class Loopback:
    """An HTTP server on a free loopback port, for a `with` block."""

    def __init__(self, handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.host}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class FileServer(Loopback):
    """Answers by path; `requests` holds (path, headers in lower case) of everything that was asked for."""

    def __init__(self, git_root: str = "") -> None:
        super().__init__(type("Handler", (_Handler,), {"files": self}))
        self.routes: dict[str, Answer | Callable[[Mapping[str, str]], Answer]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.git_root = git_root
        self.git_login = ""
        """The Authorization header that git needs, if any."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet an answer, or Nagle waits 40 ms
    disable_nagle_algorithm = True
    files: ClassVar[FileServer]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.files.requests.append((self.path, headers))
        if path.startswith("/git/") and self.files.git_root:
            self._git(path.removeprefix("/git"), query, headers)
            return
        route = self.files.routes.get(path, Answer(b"not found\n", 404))
        self._reply(route(headers) if callable(route) else route)

    def do_POST(self) -> None:
        self.do_GET()

    def _reply(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for key, value in answer.headers:
            self.send_header(key, value)
        if answer.status != 304:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body[:len(answer.body) - answer.cut])
        if answer.cut:
            self.close_connection = True

    def _git(self, path: str, query: str, headers: dict[str, str]) -> None:
        body = self.rfile.read(int(headers.get("content-length", "0")))
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if self.files.git_login and headers.get("authorization") != self.files.git_login:
            self._reply(Answer(status=401, headers=(("WWW-Authenticate", 'Basic realm="git"'),)))
            return
        env = {**GIT_ENV, "GIT_PROJECT_ROOT": self.files.git_root, "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
               "QUERY_STRING": query, "REQUEST_METHOD": self.command, "REMOTE_ADDR": "127.0.0.1",
               "CONTENT_TYPE": headers.get("content-type", ""), "CONTENT_LENGTH": str(len(body)),
               "GIT_PROTOCOL": headers.get("git-protocol", "")}
        output = subprocess.run(["git", "http-backend"], input=body, env=env, check=False, stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL).stdout
        head, _, content = output.partition(b"\r\n\r\n")
        pairs = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n")]
        status = next((int(value.split()[0]) for key, value in pairs if key == "Status"), 200)
        self._reply(Answer(content, status, tuple((k, v) for k, v in pairs if k != "Status")))


@contextlib.contextmanager
def git_daemon(root: str) -> Iterator[str]:
    """The base URL of a git:// server for the repositories in `root`."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    path = os.path.join(git("--exec-path"), "git-daemon")
    with subprocess.Popen([path, "--listen=127.0.0.1", f"--port={port}", "--reuseaddr", "--export-all",
                           f"--base-path={root}", root], env=GIT_ENV, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            yield f"git://127.0.0.1:{port}"
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    for _ in range(500):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.01)
    raise AssertionError("git-daemon does not listen")


def git(*args: str, cwd: str = "/", time: int = COMMIT_TIME) -> str:
    """Runs git as a user would, and returns what it prints."""
    env = {**GIT_ENV, "GIT_AUTHOR_DATE": f"{time} +0000", "GIT_COMMITTER_DATE": f"{time} +0000"}
    return subprocess.run(["git", "-c", "protocol.file.allow=always", *args], cwd=cwd, env=env, check=True, text=True,
                          capture_output=True).stdout.strip()
