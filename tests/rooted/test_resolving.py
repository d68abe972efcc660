"""Paths inside a hostile root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.rooted.resolving import make_directories, walk


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    top = tmp_path / "root"
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "file").write_text("x")
    for name, target in (("abs", "/a"), ("up", "../../a"), ("loop", "loop"), ("far", "/x/y"), ("chain", "up/b"),
                         ("a/home", ".."), ("dot", "a/./b/../b")):
        (top / name).symlink_to(target)
    (tmp_path / "outside").mkdir()
    fd = os.open(top, os.O_PATH)
    yield fd
    os.close(fd)


@pytest.mark.parametrize(("path", "found", "missing"), [
    ("/", "", ""), ("a//b/", "a/b", ""), ("/abs/b", "a/b", ""), ("up/b", "a/b", ""), ("../../a", "a", ""),
    ("chain", "a/b", ""), ("a/home/a/home/a", "a", ""), ("dot", "a/b", ""), ("a/new/x", "a", "new/x"),
    ("far/z", "", "x/y/z"), ("new/../a", "a", ""), ("new/x/../y", "", "new/y"), ("new/../../outside", "", "outside"),
    ("abs/b/../../../outside", "", "outside"), ("a/file", "a/file", ""),
])
def test_walk(root: int, path: str, found: str, missing: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    place = walk(root, path)
    assert ("/".join(place.found), "/".join(place.missing)) == (found, missing)
    assert os.path.samestat(os.fstat(place.fd), os.stat(found or ".", dir_fd=root))
    os.close(place.fd)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(("path", "error"), [("loop", OSError), ("a/file/x", NotADirectoryError),
                                             ("a/file/..", NotADirectoryError)])
def test_walk_fails(root: int, path: str, error: type[OSError]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(error):
        walk(root, path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_make_directories(root: int, tmp_path: Path) -> None:
    fd = make_directories(walk(root, "far/z"))
    assert os.path.samestat(os.fstat(fd), (tmp_path / "root" / "x" / "y" / "z").stat())
    os.close(fd)
