"""Images to work with: layer tars, OCI layouts, registries filled with them."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from registry.servers import MiniRegistry, sha

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
GZIP_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def layer_tar(*members: tuple[str, bytes | None, int], **files: str) -> bytes:
    """A tar: `files` by name, then `members` as (name, content or None for a directory, mode)."""
    out = io.BytesIO()
    entries = [(name, text.encode(), 0o644) for name, text in files.items()] + list(members)
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content, mode in entries:
            info = tarfile.TarInfo(name)
            info.mode, info.mtime = mode, 1_600_000_000
            if content is None:
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


class Made:
    """One image's documents and blobs."""

    def __init__(self, *layers: bytes, architecture: str = "amd64", variant: str = "",
                 pack: Callable[[bytes], bytes] = lambda data: gzip.compress(data, 1, mtime=0),
                 media_type: str = GZIP_LAYER, config: dict[str, Any] | None = None, **manifest: Any) -> None:
        packed = [pack(layer) for layer in layers]
        self.config = json.dumps({
            "architecture": architecture, "os": "linux", "config": {"Env": ["A=b"]},
            "rootfs": {"type": "layers", "diff_ids": [sha(layer) for layer in layers]},
            "history": [{"created": "2023-11-14T22:13:20Z", "created_by": f"layer {n}"} for n in range(len(layers))],
            **({"variant": variant} if variant else {}), **(config or {})}).encode()
        self.blobs = {sha(data): data for data in [self.config, *packed]}
        document = {
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": sha(self.config), "size": len(self.config)},
            "layers": [{"mediaType": media_type, "digest": sha(data), "size": len(data)} for data in packed],
            **manifest}
        self.manifest = json.dumps(document).encode()
        self.digest = sha(self.manifest)
        self.platform = {"os": "linux", "architecture": architecture, **({"variant": variant} if variant else {})}

    @property
    def entry(self) -> dict[str, Any]:
        return {"mediaType": MANIFEST, "digest": self.digest, "size": len(self.manifest)}


def index_of(*images: Made, extra: tuple[dict[str, Any], ...] = (), **fields: Any) -> bytes:
    entries = [{**image.entry, "platform": image.platform} for image in images]
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [*entries, *extra], **fields}).encode()


def serve(server: MiniRegistry, repository: str, tag: str, image: Made) -> None:
    server.add_manifest(repository, tag, image.manifest)
    for data in image.blobs.values():
        server.add_blob(repository, data)


def serve_index(server: MiniRegistry, repository: str, tag: str, index: bytes, *images: Made) -> None:
    for image in images:
        serve(server, repository, image.digest, image)
    server.add_manifest(repository, tag, index, INDEX)


def write_layout(folder: Path, *images: Made, names: tuple[str, ...] = ("latest",), key: str = "ref.name") -> Path:
    """An OCI layout with one entry for each image, named by the annotation `key`."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    entries = []
    for image, name in zip(images, names, strict=True):
        for digest, data in {**image.blobs, image.digest: image.manifest}.items():
            (blobs / digest.removeprefix("sha256:")).write_bytes(data)
        annotation = "org.opencontainers.image.ref.name" if key == "ref.name" else "io.containerd.image.name"
        entries.append({**image.entry, "annotations": {annotation: name}})
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}))
    return folder
