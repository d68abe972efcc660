"""The model of model.py against Docker's engine: random images are loaded, and what they hold is compared."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import subprocess
import tarfile

import pytest

from tests.layer.model import Impossible, Node, Row, apply, random_layer, rows
from tests.layer.tars import tar

DOCKER = os.environ.get("BUILDER_PEERS", "")
NAME = "docker.io/library/builder-layers:latest"
MADE_BY_DOCKER = {".dockerenv", "dev", "etc", "proc", "sys"}
pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(not DOCKER, reason="BUILDER_PEERS names no docker to compare with"),
]


@pytest.mark.parametrize("seed", range(36))
def test_docker_makes_of_random_layers_what_the_model_says(seed: int) -> None:
    choice = random.Random(seed)
    layers: list[bytes] = []
    said: list[Node] = []
    fails = False
    for _ in range(choice.randrange(1, 5)):
        members = random_layer(choice, "/outside")
        layers.append(tar(*members))
        try:
            said.insert(0, apply(members, said, docker=True))
        except Impossible:
            fails = True
            break
    shown = in_docker(image(layers))
    assert (shown is None) == fails
    if shown is not None:
        assert shown == {path: without_time(row) for path, row in rows(said).items()}


def without_time(row: Row) -> Row:
    """Docker's times of directories are those of unpacking, and of what took a directory's place the directory's."""
    return (*row[:3], None, *row[4:])


def image(layers: list[bytes]) -> bytes:
    blobs: dict[str, bytes] = {}

    def put(data: bytes, media_type: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = data
        return {"mediaType": f"application/vnd.oci.image.{media_type}", "digest": f"sha256:{digest}", "size": len(data)}

    packed = [put(layer, "layer.v1.tar") for layer in layers]
    rootfs = {"type": "layers", "diff_ids": [layer["digest"] for layer in packed]}
    config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/x"]}, "rootfs": rootfs}
    manifest = {"schemaVersion": 2, "config": put(json.dumps(config).encode(), "config.v1+json"), "layers": packed}
    entry = put(json.dumps(manifest).encode(), "manifest.v1+json") | {"annotations": {"io.containerd.image.name": NAME}}
    blobs["oci-layout"] = b'{"imageLayoutVersion":"1.0.0"}'
    blobs["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in blobs.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def in_docker(archive: bytes) -> dict[str, Row] | None:
    """What a container of the image holds; None where Docker cannot unpack it."""
    docker("load", data=archive)
    try:
        made = docker("create", NAME, "/x", check=False)
        if made.returncode:
            assert b"failed to extract layer" in made.stderr, made.stderr
            return None
        container = made.stdout.decode().strip()
        try:
            return seen(docker("export", container).stdout)
        finally:
            docker("rm", container)
    finally:
        docker("rmi", NAME)


def docker(*args: str, data: bytes = b"", check: bool = True) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([DOCKER, *args], input=data, capture_output=True, check=check, cwd="/tmp")


def seen(export: bytes) -> dict[str, Row]:
    kinds = {tarfile.DIRTYPE: "d", tarfile.REGTYPE: "f", tarfile.SYMTYPE: "l", tarfile.FIFOTYPE: "p"}
    found: dict[str, Row] = {}
    groups: dict[str, list[str]] = {}
    with tarfile.open(fileobj=io.BytesIO(export)) as archive:
        for info in archive:
            path = info.name.rstrip("/")
            if path.split("/")[0] in MADE_BY_DOCKER:
                continue
            if info.type == tarfile.LNKTYPE:
                first = found[info.linkname]
                groups.setdefault(info.linkname, [info.linkname]).append(path)
                found[path] = first
                continue
            kind = kinds[info.type]
            file = archive.extractfile(info) if kind == "f" else None
            text = file.read().decode() if file else info.linkname
            found[path] = (kind, info.mode if kind != "l" else 0, (info.uid, info.gid), None, text, path)
    for paths in groups.values():
        for path in paths:
            found[path] = (*found[path][:5], min(paths))
    return found
