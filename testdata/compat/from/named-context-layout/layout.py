"""Writes the OCI layout `layout` with one image, tagged `one`."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

LAYOUT = Path("layout")
BLOBS = LAYOUT / "blobs/sha256"
OCI = "application/vnd.oci.image"


def blob(data: bytes, media: str) -> dict[str, object]:
    digest = hashlib.sha256(data).hexdigest()
    (BLOBS / digest).write_bytes(data)
    return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(data)}


BLOBS.mkdir(parents=True)
archive = io.BytesIO()
with tarfile.open(fileobj=archive, mode="w") as tar:
    member = tarfile.TarInfo("f")
    member.size = 2
    tar.addfile(member, io.BytesIO(b"x\n"))
layer = blob(archive.getvalue(), f"{OCI}.layer.v1.tar")
settings = {"Env": ["A=b"], "Labels": {"l": "1"}, "User": "7", "Cmd": ["c"]}
config = blob(json.dumps({
    "architecture": "amd64", "os": "linux", "author": "me", "config": settings,
    "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    "history": [{"created_by": "hand", "comment": "made"}]}).encode(), f"{OCI}.config.v1+json")
manifest = blob(json.dumps({
    "schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json", "config": config,
    "layers": [layer]}).encode(), f"{OCI}.manifest.v1+json")
manifest["annotations"] = {"org.opencontainers.image.ref.name": "one"}
(LAYOUT / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
(LAYOUT / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
