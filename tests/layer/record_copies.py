"""Records what BuildKit makes of the cases in testdata/copy: `python -m tests.layer.record_copies [case ...]`.

Needs root and a `docker buildx` that sees the temporary folder: `DOCKER` names the command, `TMPDIR` the folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import IO

from builder.layer.view import MergedView
from tests.layer.copy_cases import BASE, BASE_MTIME, CASES, CONTEXT, CONTEXT_MTIME, case_names, read_case
from tests.layer.trees import dump_tree, make_tree

DOCKER = os.environ.get("DOCKER", "docker")


def build(dockerfile: str, context: str, *flags: str) -> subprocess.CompletedProcess[str]:
    path = f"{context}.Dockerfile"
    Path(path).write_text(dockerfile)
    command = [DOCKER, "buildx", "build", "--no-cache", "--progress=plain", "-f", path, *flags, context]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def base_image(scratch: str) -> str:
    name = "copy-cases-base:" + hashlib.sha256(BASE.encode()).hexdigest()[:12]
    os.mkdir(f"{scratch}/base")
    make_tree(f"{scratch}/base", BASE, default_mtime=BASE_MTIME)
    os.mkdir(f"{scratch}/add")
    subprocess.run(["tar", "-C", f"{scratch}/base", "-cf", f"{scratch}/add/base.tar", "."], check=True)
    build("FROM scratch\nADD base.tar /\n", f"{scratch}/add", "-t", name).check_returncode()
    return name


def record(name: str, image: str, scratch: str) -> None:
    case = read_case(name)
    context, result = f"{scratch}/{name}", f"{scratch}/{name}.out"
    os.mkdir(context)
    make_tree(context, CONTEXT + case.get("extra", ""), default_mtime=CONTEXT_MTIME)
    base = "scratch" if "scratch" in case else image
    done = build(f"FROM {base}\n{case['steps']}", context, "--output", f"type=oci,dest={result}.tar")
    if done.returncode:
        message = next(line for line in reversed(done.stderr.splitlines()) if line.startswith("ERROR: "))
        message = re.sub(r"/var/lib/\S*?(/fs|/buildkit\d+)(?=/)", "", message.removeprefix("ERROR: "))
        outcome, text = "error", re.sub(r"of ref \S+", "of ref ID", message) + "\n"
    else:
        os.mkdir(result)
        unpack_image(f"{result}.tar", result)
        outcome, text = "tree", "".join(re.sub(r"@\d{6,}", "@now", line) + "\n"
                                        for line in dump_tree(MergedView([result]), mtimes=True))
    kept = {key: value for key, value in case.items() if key not in ("tree", "error")} | {outcome: text}
    (CASES / f"{name}.txt").write_text("".join((f"-- {k} --\n" if k else "") + v for k, v in kept.items()))


def unpack_image(archive: str, root: str) -> None:
    """The file tree of an OCI archive; its layers must not remove anything."""
    with tarfile.open(archive) as image:
        index = json.load(_member(image, "index.json"))
        manifest = json.load(_blob(image, index["manifests"][0]["digest"]))
        for layer in manifest["layers"]:
            with tarfile.open(fileobj=_blob(image, layer["digest"]), mode="r:gz") as members:
                _apply(members, root)


def _apply(layer: tarfile.TarFile, root: str) -> None:
    directories = []
    for member in layer:
        path = os.path.join(root, member.name)
        if os.path.lexists(path) and not (member.isdir() and os.path.isdir(path) and not os.path.islink(path)):
            subprocess.run(["rm", "-rf", path], check=True)
        layer.extract(member, root, filter="fully_trusted")
        if capability := member.pax_headers.get("SCHILY.xattr.security.capability"):
            os.setxattr(path, "security.capability", capability.encode("utf-8", "surrogateescape"))
        os.utime(path, (member.mtime, member.mtime), follow_symlinks=False)
        if member.isdir():
            directories.append((path, member.mtime))
    for path, mtime in reversed(directories):
        os.utime(path, (mtime, mtime))


def _blob(image: tarfile.TarFile, digest: str) -> IO[bytes]:
    return _member(image, "blobs/" + digest.replace(":", "/"))


def _member(image: tarfile.TarFile, name: str) -> IO[bytes]:
    file = image.extractfile(name)
    assert file is not None
    return file


def main(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        image = base_image(scratch)
        for name in names or case_names():
            if "source" not in read_case(name):
                record(name, image, scratch)


if __name__ == "__main__":
    main(sys.argv[1:])
