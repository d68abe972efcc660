#!/usr/bin/env python3
"""Builds every case with this builder and with docker buildx, and compares what came out.

    bench/compat.py --docker "docker" [--builder "builder"] [-k TEXT] [-j N] [--base REGISTRY/IMAGE] [CASES...]

A case is a folder of testdata/compat (or of another folder given): a Dockerfile, beside it what else belongs to the
context, and perhaps `compat.json` with `args` (flags of both builders), `error` (both must fail; words that both
messages hold) and `explained` (differences that docs/compatibility.md explains, as prefixes of report lines).
`@BASE@` in a Dockerfile is --base. Compared are the config, the history, and of the flattened file tree path, type,
mode, owner, size, digest and link target. Exit status 0 when nothing differs.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import gzip
import hashlib
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CASES = HERE.parent / "testdata" / "compat"
IGNORED_PATHS = {"/etc/hosts", "/etc/resolv.conf"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", type=Path)
    parser.add_argument("--builder", default="builder")
    parser.add_argument("--docker", default="docker")
    parser.add_argument("--base", default="127.0.0.1:5000/debian:bookworm", help="an image with a shell and coreutils")
    parser.add_argument("-k", default="", help="only cases whose name holds this")
    parser.add_argument("-j", type=int, default=2)
    options = parser.parse_args()
    cases = options.cases or [path for path in sorted(CASES.iterdir()) if options.k in path.name]
    failed = 0
    with tempfile.TemporaryDirectory(prefix="compat-", dir="/tmp") as scratch, \
            concurrent.futures.ThreadPoolExecutor(options.j) as pool:
        runs = {case.name: pool.submit(Comparison(case, options, Path(scratch)).run) for case in cases}
        for name, run in runs.items():
            lines = run.result()
            failed += bool(lines)
            print(f"{'DIFF' if lines else 'same'}  {name}", flush=True)
            for line in lines:
                print(f"      {line}")
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


class Comparison:
    """One case, both builders."""

    def __init__(self, case: Path, options: argparse.Namespace, scratch: Path) -> None:
        self.options = options
        self.spec = json.loads((case / "compat.json").read_text()) if (case / "compat.json").exists() else {}
        self.folder = scratch / case.name
        self.state = scratch / "state"
        self.context = self.folder / "context"
        shutil.copytree(case, self.context, symlinks=True)
        (self.context / "compat.json").unlink(missing_ok=True)
        if (self.context / "setup.sh").exists():
            subprocess.run(["bash", "-eu", "setup.sh"], cwd=self.context, check=True)
            (self.context / "setup.sh").unlink()
        dockerfile = self.context / "Dockerfile"
        dockerfile.write_text(dockerfile.read_text().replace("@BASE@", options.base))

    def run(self) -> list[str]:
        """The differences that nothing explains."""
        ours, our_error = self._build([*shlex.split(self.options.builder), "--root", str(self.state), "build",
                                       "--progress", "plain"], "ours.tar")
        theirs, their_error = self._build([*shlex.split(self.options.docker), "buildx", "build", "--progress", "plain",
                                           "--provenance=false"], "theirs.tar")
        lines = self._compare(ours, our_error, theirs, their_error)
        shutil.rmtree(self.folder, ignore_errors=True)
        explained = tuple(self.spec.get("explained", ()))
        return [line for line in lines if not (explained and line.startswith(explained))]

    def _build(self, command: list[str], name: str) -> tuple[dict[str, str] | None, str]:
        output = self.folder / name
        args = [word.replace("@CONTEXT@", str(self.context)) for word in self.spec.get("args", [])]
        built = subprocess.run([*command, *args, "--output", f"type=oci,dest={output}", str(self.context)],
                               stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", cwd="/tmp")
        return (describe(output) if built.returncode == 0 else None), built.stderr

    def _compare(self, ours: dict[str, str] | None, our_error: str, theirs: dict[str, str] | None,
                 their_error: str) -> list[str]:
        if ours is None or theirs is None:
            if (ours is None) != (theirs is None):
                who, text = ("ours", our_error) if ours is None else ("theirs", their_error)
                return [f"only {who} fails: {' | '.join(text.strip().splitlines()[-6:])}"]
            return [f"{who}: the message lacks {word!r}: {text.strip().splitlines()[-1]}"
                    for who, text in (("ours", our_error), ("theirs", their_error))
                    for word in self.spec.get("error", []) if word.lower() not in text.lower()]
        if "error" in self.spec:
            return ["both build, an error was expected"]
        return [f"{key}: ours {ours.get(key, '(absent)')}, theirs {theirs.get(key, '(absent)')}"
                for key in sorted(ours.keys() | theirs.keys()) if ours.get(key) != theirs.get(key)]


def describe(archive: Path) -> dict[str, str]:
    """An OCI archive as comparable lines: config fields, history entries, files."""
    with tarfile.open(archive) as tar:
        blobs = {member.name.removeprefix("./"): tar.extractfile(member).read()  # type: ignore[union-attr]
                 for member in tar if member.isfile()}
    document = json.loads(blobs["index.json"])
    while "manifests" in document:
        document = json.loads(blob(blobs, document["manifests"][0]))
    config = json.loads(blob(blobs, document["config"]))
    lines = {f"image.{key}": json.dumps(value, sort_keys=True) for key, value in config.items()
             if key not in {"config", "history", "rootfs", "created", "moby.buildkit.buildinfo.v1"}}
    lines |= {f"config.{key}": json.dumps(value, sort_keys=True) for key, value in config.get("config", {}).items()}
    for number, entry in enumerate(config.get("history") or []):
        lines[f"history[{number}]"] = json.dumps({k: v for k, v in entry.items() if k != "created"}, sort_keys=True)
    lines["layers"] = str(len(document.get("layers") or []))
    tree = Tree()
    for layer in document.get("layers") or []:
        tree.apply(blob(blobs, layer))
    return lines | tree.lines()


def blob(blobs: dict[str, bytes], descriptor: dict[str, Any]) -> bytes:
    return blobs["blobs/sha256/" + descriptor["digest"].removeprefix("sha256:")]


class Tree:
    """A file tree made by applying layers."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def apply(self, layer: bytes) -> None:
        data = gzip.decompress(layer) if layer[:2] == b"\x1f\x8b" else layer
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            members = [(os.path.normpath("/" + member.name), member) for member in tar]
            for path, _ in members:
                folder, name = os.path.split(path)
                if name == ".wh..wh..opq":
                    self._remove(folder, keep=True)
                elif name.startswith(".wh."):
                    self._remove(os.path.join(folder, name[4:]))
            for path, member in members:
                if not os.path.basename(path).startswith(".wh.") and path not in IGNORED_PATHS | {"/"}:
                    self._add(path, member, tar)

    def lines(self) -> dict[str, str]:
        return {f"file {path}": text for path, text in self.entries.items()}

    def _add(self, path: str, member: tarfile.TarInfo, tar: tarfile.TarFile) -> None:
        if not member.isdir() or not self.entries.get(path, "").startswith("dir"):
            self._remove(path)
        owner = f"{member.mode & 0o7777:o} {member.uid}:{member.gid}"
        capability = member.pax_headers.get("SCHILY.xattr.security.capability")
        suffix = f" caps={capability.encode('utf-8', 'surrogateescape').hex()}" if capability else ""
        if member.isdir():
            self.entries[path] = f"dir {owner}"
        elif member.issym():
            self.entries[path] = f"link {member.uid}:{member.gid} -> {member.linkname}"
        elif member.islnk():
            self.entries[path] = self.entries.get(os.path.normpath("/" + member.linkname), "broken hard link")
        elif member.isfile():
            digest = hashlib.sha256(tar.extractfile(member).read()).hexdigest()[:16]  # type: ignore[union-attr]
            self.entries[path] = f"file {owner} {member.size} {digest}{suffix}"
        else:
            self.entries[path] = f"{member.type!r} {owner} {member.devmajor},{member.devminor}"

    def _remove(self, path: str, *, keep: bool = False) -> None:
        below = path.rstrip("/") + "/"
        for known in [known for known in self.entries if known.startswith(below) or (known == path and not keep)]:
            del self.entries[known]


if __name__ == "__main__":
    sys.exit(main())
