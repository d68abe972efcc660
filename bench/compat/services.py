"""What builds of the cases find around them: base images in a registry, a web server, a git daemon."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from bench.compat.cases import TESTDATA, Build
from bench.compat.described import describe

PLATFORMS = {"multi": "linux/amd64,linux/arm64", "foreign": "linux/arm64"}
_EPOCH = 1000000000


def busybox() -> Path:
    """$BUSYBOX, or the static busybox of the machine. Raises FileNotFoundError."""
    found = os.environ.get("BUSYBOX") or shutil.which("busybox")
    if not found:
        raise FileNotFoundError("the base images need a static busybox (Debian: busybox-static)")
    return Path(found)


def push_bases(build: Build, registry: str, scratch: Path) -> dict[str, str]:
    """Builds every named stage of testdata/bases, reproducibly, and pushes it; the lines of `base`."""
    context = scratch / "bases"
    context.mkdir()
    shutil.copy(TESTDATA / "bases" / "Dockerfile", context)
    shutil.copy(busybox(), context / "busybox")
    (context / "busybox").chmod(0o755)
    archive = context / "base.tar"
    for name in re.findall(r"^FROM .* AS (\S+)$", (context / "Dockerfile").read_text(), re.M):
        outputs = [f"type=image,name={registry}/compat/{name},push=true,rewrite-timestamp=true"]
        if name == "base":
            outputs.append(f"type=oci,dest={archive},rewrite-timestamp=true")
        done = build(["--quiet", "--platform", PLATFORMS.get(name, "linux/amd64"),
                      "--build-arg", f"SOURCE_DATE_EPOCH={_EPOCH}", "--target", name,
                      *(f"--output={output}" for output in outputs), str(context)], stdin=None, env={})
        if done.status != 0:
            raise RuntimeError(f"the base image {name} cannot be built: {done.stderr}")
    content = content_of_busybox()
    return {key: value.replace(content, "@BUSYBOX@")
            for key, value in describe(archive, _EPOCH + 1, frozenset()).items()}


def content_of_busybox() -> str:
    """Its size and digest as described.py shows them: machines differ in it."""
    data = busybox().read_bytes()
    return f"{len(data)} {hashlib.sha256(data).hexdigest()[:16]}"


def image_placeholders(registry: str) -> dict[str, str]:
    return {"@BASE@": f"{registry}/compat/base", "@IMAGES@": f"{registry}/compat", "@BUSYBOX@": content_of_busybox()}


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[dict[str, str]]:
    """A web server and a git daemon of `folder`, which is created, on free loopback ports: their placeholders."""
    folder.mkdir(exist_ok=True)
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        daemon = subprocess.Popen(["git", "daemon", "--listen=127.0.0.1", f"--port={port}", f"--base-path={folder}",
                                   "--export-all", "--reuseaddr", str(folder)], stderr=subprocess.DEVNULL)
        try:
            yield {"@HTTP@": f"http://127.0.0.1:{web.server_port}/@NAME@/www",
                   "@GIT@": f"git://127.0.0.1:{port}/@NAME@/www"}
        finally:
            daemon.terminate()
            daemon.wait()
            web.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass
