from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.layer.content import content_digest
from builder.layer.overlay import make_whiteout, set_opaque

pytestmark = pytest.mark.root


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    folder = tmp_path / "layer"
    (folder / "dir").mkdir(parents=True)
    (folder / "dir/file").write_text("text")
    (folder / "other").write_text("text")
    os.symlink("file", folder / "dir/link")
    os.mkfifo(folder / "pipe")
    return folder


def test_times_and_foreign_attributes_do_not_matter(layer: Path) -> None:
    before = content_digest(str(layer))
    os.utime(layer / "dir/file", (1, 1))
    os.utime(layer / "dir", (2, 2))
    os.setxattr(layer / "dir/file", "user.note", b"n")
    copy = layer.with_name("copy")
    shutil.copytree(layer, copy, symlinks=True, ignore=lambda *_: ["pipe"])
    os.mkfifo(copy / "pipe")
    assert content_digest(str(layer)) == content_digest(str(copy)) == before


def relink(layer: Path) -> None:
    (layer / "other").unlink()
    os.link(layer / "dir/file", layer / "other")


def move(layer: Path) -> None:
    (layer / "dir/link").unlink()
    os.symlink("file", layer / "link")


def whiteout(layer: Path) -> None:
    (layer / "pipe").unlink()
    make_whiteout(str(layer / "pipe"))


CHANGES: dict[str, Callable[[Path], object]] = {
    "bytes": lambda layer: (layer / "dir/file").write_text("Text"),
    "mode": lambda layer: (layer / "dir/file").chmod(0o600),
    "mode of a directory": lambda layer: (layer / "dir").chmod(0o700),
    "uid": lambda layer: os.chown(layer / "dir/file", 1, 0),
    "gid of a link": lambda layer: os.chown(layer / "dir/link", 0, 1, follow_symlinks=False),
    "capability": lambda layer: os.setxattr(
        layer / "other", "security.capability", b"\1\0\0\2" + bytes([0, 4]) + bytes(14)
    ),
    "one file instead of two": relink,
    "place": move,
    "new empty directory": lambda layer: (layer / "empty").mkdir(),
    "kind": whiteout,
    "opaque": lambda layer: set_opaque(str(layer / "dir"), "trusted"),
    "name": lambda layer: (layer / "other").rename(layer / "othes"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_everything_else_does(layer: Path, change: Callable[[Path], object]) -> None:
    before = content_digest(str(layer))
    change(layer)
    assert content_digest(str(layer)) != before
