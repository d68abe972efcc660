"""Canonical paths below a hostile directory, and the removal of whatever is there."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from builder.rooted.removing import remove, remove_path
from builder.rooted.root import Directory, Root


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_text("secret")
    return folder


@pytest.fixture
def root(tmp_path: Path, outside: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "a/b").mkdir(parents=True)
    (folder / "a/b/file").write_text("text")
    (folder / "out").symlink_to(outside)
    (folder / "a/b/link").symlink_to("../../../outside/secret")
    (folder / "a/proc").symlink_to("/proc/self/root")
    return folder


def test_files_are_read_by_canonical_paths(root: Path) -> None:
    files = Root(str(root))
    fd = files.open("a/b/file")
    assert os.read(fd, 10) == b"text"
    os.close(fd)
    assert sorted(files.names("a")) == ["b", "proc"]
    assert files.lstat("a/b/file").st_size == 4
    assert files.readlink("a/b/link") == "../../../outside/secret"
    assert files.lstat("").st_ino == root.stat().st_ino
    assert sorted(files.names("")) == ["a", "out"]


@pytest.mark.parametrize("path", ["out/secret", "a/b/link", "a/proc/etc/passwd", "a/../../outside/secret", "..", "a/..",
                                  "/etc/passwd", "./a", "a//b", "a/b/file/x", "out/../a/b/file"])
def test_nothing_is_opened_through_links_or_by_names_that_lead_up(root: Path, path: str) -> None:
    files = Root(str(root))
    with pytest.raises(OSError) as caught:
        os.close(files.open(path))
    assert caught.value.errno in (errno.ELOOP, errno.ENOTDIR, errno.EINVAL)


@pytest.mark.parametrize("path", ["out/secret", "out/x", "a/proc/x"])
def test_names_behind_links_are_neither_looked_at_nor_listed(root: Path, path: str) -> None:
    files = Root(str(root))
    for ask in (files.lstat, files.readlink, files.names, files.listxattr):
        with pytest.raises(NotADirectoryError) as caught:
            ask(path)
        assert caught.value.filename == f"{root}/{path}" or caught.value.filename.startswith(f"{root}/")


def test_a_held_root_is_not_what_takes_its_name_later(root: Path, outside: Path) -> None:
    files = Root(str(root), hold=True)
    root.rename(root.with_name("moved"))
    root.symlink_to(outside)
    assert sorted(files.names("")) == ["a", "out"]
    with pytest.raises(FileNotFoundError):
        files.open("secret")


def test_a_directory_that_is_swapped_for_a_link_again_and_again_never_leads_outside(root: Path, outside: Path) -> None:
    (outside / "file").write_text("secret")
    (root / "a/c").symlink_to(outside)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            os.rename(root / "a/b", root / "a/t")
            os.rename(root / "a/c", root / "a/b")
            os.rename(root / "a/b", root / "a/c")
            os.rename(root / "a/t", root / "a/b")

    thread = threading.Thread(target=swap)
    thread.start()
    seen = set()
    try:
        for _ in range(3000):
            try:
                fd = Root(str(root)).open("a/b/file")
            except OSError as error:
                seen.add(error.errno)
                continue
            seen.add(os.read(fd, 10))
            os.close(fd)
    finally:
        stop.set()
        thread.join()
    assert b"secret" not in seen
    assert b"text" in seen


def test_many_roots_hold_few_descriptors(tmp_path: Path) -> None:
    roots = []
    for number in range(300):
        (tmp_path / str(number)).mkdir()
        roots.append(Root(str(tmp_path / str(number))))
    before = len(os.listdir("/proc/self/fd"))
    for files in (*roots, *roots):
        assert files.names("") == []
    assert len(os.listdir("/proc/self/fd")) - before < 270


def test_a_tree_deeper_than_any_path_may_be_is_removed(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_PATH)
    name = "n" * 200
    here = os.dup(fd)
    for _ in range(3000):
        os.mkdir(name, dir_fd=here)
        inner = os.open(name, os.O_PATH, dir_fd=here)
        os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=inner))
        os.close(here)
        here = inner
    os.close(here)
    remove(fd, name)
    assert os.listdir(tmp_path) == []
    remove(fd, name)
    os.close(fd)


def test_removing_keeps_what_links_lead_to(tmp_path: Path, outside: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "d").mkdir(parents=True)
    (tree / "d/link").symlink_to(outside)
    (tree / "d/file").symlink_to(outside / "secret")
    os.link(outside / "secret", tree / "d/hard")
    remove_path(str(tree))
    assert not tree.exists()
    assert (outside / "secret").read_text() == "secret"
    (tmp_path / "link").symlink_to(outside)
    remove_path(str(tmp_path / "link"))
    assert outside.is_dir()


def test_directories_and_files_without_any_mode_are_removed(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "a/b").mkdir(parents=True)
    (tree / "a/b/f").write_text("")
    for path in ("a/b/f", "a/b", "a"):
        (tree / path).chmod(0)
    remove_path(str(tree))
    assert os.listdir(tmp_path) == []


def test_an_open_directory_takes_single_names_only(root: Path) -> None:
    directory = Directory(os.open(root, os.O_PATH))
    for name in ("a/b", "..", ".", ""):
        with pytest.raises(OSError):
            directory.enter(name)
