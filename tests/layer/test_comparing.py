from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.layer.comparing import same_layer
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


@pytest.fixture
def copy(layer: Path) -> Path:
    copy = layer.with_name("copy")
    shutil.copytree(layer, copy, symlinks=True, ignore=shutil.ignore_patterns("pipe"))
    os.mkfifo(copy / "pipe")
    return copy


def test_times_do_not_matter(layer: Path, copy: Path) -> None:
    os.utime(copy / "dir/file", (1, 1))
    os.utime(copy / "dir", (2, 2))
    assert same_layer(str(layer), str(copy))


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
def test_everything_else_does(layer: Path, copy: Path, change: Callable[[Path], object]) -> None:
    change(copy)
    assert not same_layer(str(layer), str(copy))
    assert not same_layer(str(copy), str(layer))


@pytest.mark.parametrize("changed", [0, 15, 16, 39])
def test_each_of_many_files_counts(tmp_path: Path, changed: int) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    for number in range(40):
        (one / f"{number:02}").write_text("text")
    shutil.copytree(one, other)
    assert same_layer(str(one), str(other))
    (other / f"{changed:02}").write_text("Text")
    assert not same_layer(str(one), str(other))
