"""The registry that base images come from and that pushes go to, spoken to over plain HTTP."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import urllib.request
from typing import Any

_MANIFESTS = ("application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, "
              "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json")


class Registry:
    """`base` is a reference such as 127.0.0.1:5000/debian:bookworm; new images go beside it."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.host, _, rest = base.partition("/")
        self._repository, _, self._tag = rest.partition(":")

    def name(self, builder: str, nonce: str) -> str:
        """An image of the measurements."""
        return f"{self.host}/bench/{builder}:{nonce}"

    def new_base(self, nonce: str) -> str:
        """Pushes an image that no builder has seen: the base, with one file more at the front of its last layer."""
        manifest = self._manifest(self._tag)
        if "manifests" in manifest:
            manifest = self._manifest(manifest["manifests"][0]["digest"])
        config = json.loads(self._get(f"{self._repository}/blobs/{manifest['config']['digest']}"))
        layer = self._get(f"{self._repository}/blobs/{manifest['layers'][-1]['digest']}")
        member = tarfile.TarInfo("bench-nonce")
        member.size = len(nonce)
        front = member.tobuf(tarfile.GNU_FORMAT) + nonce.encode().ljust(tarfile.BLOCKSIZE, b"\0")
        packed = gzip.compress(front) + layer  # gzip members, and tars without an end, may simply be concatenated
        config["rootfs"]["diff_ids"][-1] = _digest(front + gzip.GzipFile(fileobj=io.BytesIO(layer)).read())
        target = f"bench/base-{nonce}"
        manifest["layers"][-1] |= self._put(target, packed)
        for below in manifest["layers"][:-1]:
            self._put(target, self._get(f"{self._repository}/blobs/{below['digest']}"))
        manifest["config"] |= self._put(target, json.dumps(config).encode())
        self._send("PUT", f"{target}/manifests/latest", json.dumps(manifest).encode(), manifest["mediaType"])
        return f"{self.host}/{target}:latest"

    def _manifest(self, reference: str) -> dict[str, Any]:
        request = urllib.request.Request(f"http://{self.host}/v2/{self._repository}/manifests/{reference}",
                                         headers={"Accept": _MANIFESTS})
        with urllib.request.urlopen(request) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://{self.host}/v2/{path}") as answer:
            data: bytes = answer.read()
        return data

    def _put(self, repository: str, data: bytes) -> dict[str, Any]:
        digest = _digest(data)
        location = self._send("POST", f"{repository}/blobs/uploads/", b"", "")
        separator = "&" if "?" in location else "?"
        self._send("PUT", f"{location}{separator}digest={digest}", data, "application/octet-stream")
        return {"digest": digest, "size": len(data)}

    def _send(self, method: str, path: str, data: bytes, media_type: str) -> str:
        url = path if path.startswith("http") else f"http://{self.host}/v2/{path}"
        request = urllib.request.Request(url, data=data, method=method,
                                         headers={"Content-Type": media_type} if media_type else {})
        with urllib.request.urlopen(request) as answer:
            return str(answer.headers.get("Location", ""))


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()
