"""Base images that the checks write themselves: OCI layouts of hand-made layers, so that any member can be in them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BUSYBOX = next((path for path in ("/bin/busybox", "/usr/bin/busybox") if os.path.exists(path)), "")
APPLETS = ("awk", "cat", "chmod", "chown", "cp", "cut", "date", "dd", "df", "echo", "env", "false", "find", "grep",
           "head", "hostname", "id", "ip", "ln", "ls", "mkdir", "mknod", "mkfifo", "mount", "mv", "nc", "od",
           "printf", "ps", "pwd", "readlink", "rm", "rmdir", "sed", "seq", "sh", "sleep", "sort", "stat", "sync",
           "tail", "tar", "test", "touch", "tr", "true", "truncate", "umount", "uname", "wc", "wget", "yes")
PASSWD = """root:x:0:0:root:/root:/bin/sh
app:x:1000:1000::/home/app:/bin/sh
nohome:x:1002:1002:::/bin/sh
"""
GROUP = "root:x:0:\nshadow:x:42:\napp:x:1000:\nnohome:x:1002:\n"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


class Layer:
    """A layer's tar, member by member, in the order of the calls."""

    def __init__(self) -> None:
        self._bytes = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._bytes, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115

    def member(self, name: str, kind: bytes, data: bytes = b"", mode: int = 0o644, uid: int = 0, gid: int = 0,
               link: str = "", xattrs: dict[str, str] | None = None) -> Layer:
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.uid, entry.gid, entry.linkname = kind, mode, uid, gid, link
        entry.mtime, entry.size = 1_600_000_000, len(data)
        entry.pax_headers = {f"SCHILY.xattr.{key}": value for key, value in (xattrs or {}).items()}
        self._tar.addfile(entry, io.BytesIO(data))
        return self

    def dir(self, name: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> Layer:
        return self.member(name, tarfile.DIRTYPE, b"", mode, uid, gid)

    def file(self, name: str, data: str = "", mode: int = 0o644, uid: int = 0, gid: int = 0,
             xattrs: dict[str, str] | None = None) -> Layer:
        return self.member(name, tarfile.REGTYPE, data.encode(), mode, uid, gid, xattrs=xattrs)

    def link(self, name: str, target: str) -> Layer:
        return self.member(name, tarfile.SYMTYPE, mode=0o777, link=target)

    def hard(self, name: str, target: str, mode: int = 0o600) -> Layer:
        return self.member(name, tarfile.LNKTYPE, mode=mode, link=target)

    def fifo(self, name: str, mode: int = 0o600) -> Layer:
        return self.member(name, tarfile.FIFOTYPE, mode=mode)

    def done(self) -> bytes:
        self._tar.close()
        return self._bytes.getvalue()


def busybox_layer(user: int = 1000) -> bytes:
    """`user` owns /home/app; 0 makes it an image of root's only."""
    layer = Layer()
    for name, mode in (("bin", 0o755), ("etc", 0o755), ("root", 0o700), ("tmp", 0o1777), ("home", 0o755)):
        layer.dir(name, mode)
    layer.dir("home/app", 0o755, user, user)
    layer.member("bin/busybox", tarfile.REGTYPE, Path(BUSYBOX).read_bytes(), 0o755)
    for applet in APPLETS:
        layer.link(f"bin/{applet}", "busybox")
    return layer.file("etc/passwd", PASSWD).file("etc/group", GROUP).done()


class Image:
    """The blobs of one image; `manifest` is the digest of its manifest."""

    def __init__(self, layers: Sequence[bytes], config: dict[str, Any] | None = None, arch: str = "amd64") -> None:
        self.blobs: dict[str, bytes] = {}
        document = {"created": "2023-11-14T22:13:20Z", "architecture": arch, "os": "linux",
                    "config": {"Env": [PATH], "Cmd": ["sh"], **(config or {})},
                    "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
                    "history": [{"created": "2023-11-14T22:13:20Z", "created_by": f"layer {number}"}
                                for number in range(len(layers))]}
        self.arch = arch
        self.manifest = self._add(json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": self._described("application/vnd.oci.image.config.v1+json", json.dumps(document).encode()),
            "layers": [self._described("application/vnd.oci.image.layer.v1.tar", layer) for layer in layers]}).encode())

    def _add(self, data: bytes) -> str:
        self.blobs[digest(data)] = data
        return digest(data)

    def _described(self, media_type: str, data: bytes) -> dict[str, Any]:
        return {"mediaType": media_type, "digest": self._add(data), "size": len(data)}

    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": MANIFEST, "digest": self.manifest, "size": len(self.blobs[self.manifest]),
                "platform": {"architecture": self.arch, "os": "linux"}}


def write_layout(folder: Path, image: Image, *, index: bytes | None = None) -> Path:
    """An OCI layout of `image`; `index` takes the place of its index.json."""
    write_blobs(folder, image.blobs)
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (folder / "index.json").write_bytes(index or json.dumps({
        "schemaVersion": 2, "mediaType": INDEX, "manifests": [
            {**image.descriptor(), "annotations": {"org.opencontainers.image.ref.name": "latest"}}]}).encode())
    return folder


def write_blobs(folder: Path, blobs: dict[str, bytes]) -> None:
    (folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    for name, data in blobs.items():
        (folder / "blobs" / "sha256" / name.removeprefix("sha256:")).write_bytes(data)


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()
