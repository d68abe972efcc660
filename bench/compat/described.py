"""An OCI archive as lines that can be compared: config fields, history entries, layers, and the flattened file tree.

Times are shown when they lie long before or after the comparison: what a builder stamps with the present is `now`.
"""

from __future__ import annotations

import contextlib
import datetime
import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

IGNORED_PATHS = {"/", "/etc/hosts", "/etc/resolv.conf"}
SHORT = 160
LARGE = 100_000
PRESENT = 30 * 86400
XATTR = "SCHILY.xattr."
NOT_CONFIG = {"config", "history", "rootfs", "moby.buildkit.buildinfo.v1"}


def describe(archive: Path, start: int, compared: frozenset[str],
             emptied: Callable[[str], str] = lambda text: text) -> dict[str, str]:
    """Lines by key; times after `start` are the present, `compared` may hold `layer-paths` and `diff-ids`.

    `emptied` puts placeholders back into the content of files.
    """
    with tarfile.open(archive) as tar:
        blobs = {member.name.removeprefix("./"): tar.extractfile(member).read()  # type: ignore[union-attr]
                 for member in tar if member.isfile()}
    document = json.loads(blobs["index.json"])
    while "manifests" in document:
        document = json.loads(blob(blobs, document["manifests"][0]))
    config = json.loads(blob(blobs, document["config"]))
    config["created"] = moment(config.get("created"), start)
    lines = {f"image.{key}": json.dumps(value, sort_keys=True) for key, value in config.items()
             if key not in NOT_CONFIG}
    lines |= {f"config.{key}": json.dumps(value, sort_keys=True) for key, value in config.get("config", {}).items()}
    for number, entry in enumerate(config.get("history") or []):
        entry["created"] = moment(entry.get("created"), start)
        lines[f"history[{number}]"] = json.dumps(entry, sort_keys=True)
    lines["layers"] = " ".join([str(len(document.get("layers") or [])), document.get("mediaType", ""),
                                *sorted({layer["mediaType"] for layer in document.get("layers") or []})])
    lines |= {f"annotation.{key}": value for key, value in document.get("annotations", {}).items()}
    if "diff-ids" in compared:
        lines |= {f"diff-id[{number}]": diff_id for number, diff_id in enumerate(config["rootfs"]["diff_ids"])}
    tree = Tree(start, emptied)
    for number, layer in enumerate(document.get("layers") or []):
        paths = tree.apply(blob(blobs, layer))
        if "layer-paths" in compared:
            lines[f"layer[{number}]"] = " ".join(sorted(paths))
    return lines | tree.lines()


def blob(blobs: dict[str, bytes], descriptor: dict[str, Any]) -> bytes:
    return blobs["blobs/sha256/" + descriptor["digest"].removeprefix("sha256:")]


def moment(created: str | None, start: int) -> str | None:
    """An RFC 3339 time, or `now`."""
    if not created:
        return created
    seconds = datetime.datetime.fromisoformat(created.replace("Z", "+00:00")).timestamp()
    return "now" if start <= seconds < start + PRESENT else created


def content(data: bytes) -> str:
    """Text of a few lines as a JSON string, other content by its digest."""
    if len(data) <= SHORT:
        with contextlib.suppress(UnicodeDecodeError):
            text = data.decode()
            if all(character.isprintable() or character in "\t\n" for character in text):
                return json.dumps(text, ensure_ascii=False)
    return hashlib.sha256(data).hexdigest()[:16]


def uncompressed(layer: bytes) -> bytes:
    if layer[:2] == b"\x1f\x8b":
        return gzip.decompress(layer)
    if layer[:4] == b"\x28\xb5\x2f\xfd":
        return subprocess.run(["zstd", "-dc"], input=layer, stdout=subprocess.PIPE, check=True).stdout
    return layer


class Tree:
    """A file tree made by applying layers."""

    def __init__(self, start: int, emptied: Callable[[str], str]) -> None:
        self.start = start
        self.emptied = emptied
        self.entries: dict[str, list[str]] = {}  # names of one file share the list

    def apply(self, layer: bytes) -> list[str]:
        """Puts a layer on top; the paths it holds, but for directories."""
        data = uncompressed(layer)
        with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as tar:
            members = [(os.path.normpath("/" + member.name), member) for member in tar]
            for path, _ in members:
                folder, name = os.path.split(path)
                if name == ".wh..wh..opq":
                    self._remove(folder, keep=True)
                elif name.startswith(".wh."):
                    self._remove(os.path.join(folder, name[4:]))
            for path, member in members:
                if not os.path.basename(path).startswith(".wh.") and path not in IGNORED_PATHS:
                    self._add(path, member, tar)
        return [path for path, member in members if not member.isdir() and path not in IGNORED_PATHS]

    def lines(self) -> dict[str, str]:
        names: dict[int, list[str]] = {}
        for path, entry in sorted(self.entries.items()):
            names.setdefault(id(entry), []).append(path)
        return {f"file {path}": " ".join(entry + [f"= {name}" for name in names[id(entry)][:1] if name != path])
                for path, entry in self.entries.items()}

    def _add(self, path: str, member: tarfile.TarInfo, tar: tarfile.TarFile) -> None:
        if not member.isdir() or self.entries.get(path, [""])[0] != "dir":
            self._remove(path)
        if member.islnk():
            self.entries[path] = self.entries.get(os.path.normpath("/" + member.linkname), ["broken hard link"])
            return
        owner = [f"{member.mode & 0o7777:o}", f"{member.uid}:{member.gid}"]
        if member.isdir():
            entry = ["dir", *owner]
        elif member.issym():
            entry = ["link", owner[1], "->", member.linkname]
        elif member.isfile():
            data = tar.extractfile(member).read()  # type: ignore[union-attr]
            if len(data) < LARGE:
                data = self.emptied(data.decode("latin-1")).encode("latin-1")
            entry = ["file", *owner, str(len(data)), content(data)]
        else:
            entry = [f"type-{member.type.decode()}", *owner, f"{member.devmajor},{member.devminor}"]
        if not self.start <= member.mtime < self.start + PRESENT:
            entry.append(f"@{int(member.mtime)}")
        entry += [f"{key.removeprefix(XATTR)}={value.encode('utf-8', 'surrogateescape').hex()}"
                  for key, value in sorted(member.pax_headers.items()) if key.startswith(XATTR)]
        self.entries[path] = entry

    def _remove(self, path: str, *, keep: bool = False) -> None:
        below = path.rstrip("/") + "/"
        for known in [known for known in self.entries if known.startswith(below) or (known == path and not keep)]:
            del self.entries[known]
