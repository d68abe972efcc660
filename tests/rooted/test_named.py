"""Paths of the caller that lead through folders of another user, who swaps what is on the way."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from builder.rooted.named import ForeignLink, locate, open_folder, remove_file, replaced, write_file

STRANGER = 54321


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "file").write_text("precious")
    (folder / "file").chmod(0o600)
    return folder


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A folder of another user's."""
    folder = tmp_path / "theirs"
    (folder / "d").mkdir(parents=True)
    for path in (folder, folder / "d"):
        os.chown(path, STRANGER, STRANGER)
    return folder


def foreign_link(link: Path, target: Path | str) -> None:
    link.symlink_to(target)
    os.chown(link, STRANGER, STRANGER, follow_symlinks=False)


@contextmanager
def swapping(name: Path, other: Path) -> Iterator[None]:
    """Meanwhile `name` and `other` have each other's name again and again."""
    stop = threading.Event()

    def swap() -> None:
        spare = name.with_name("spare")
        while not stop.is_set():
            for source, target in ((name, spare), (other, name), (name, other), (spare, name)):
                with suppress(OSError):
                    os.rename(source, target)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_own_links_are_followed_and_stay(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "link").symlink_to("outside/../outside/file")
    write_file(str(tmp_path / "link"), b"new")
    assert (tmp_path / "link").is_symlink()
    assert (outside / "file").read_text() == "new"
    assert stat.S_IMODE((outside / "file").stat().st_mode) == 0o600
    assert os.listdir(outside) == ["file"]


def test_missing_folders_are_made_and_relative_paths_begin_here(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    open_folder("a/./b//c", make=0o700)
    assert stat.S_IMODE((tmp_path / "a/b").stat().st_mode) == 0o700
    write_file("a/../f", b"x")
    assert (tmp_path / "f").read_bytes() == b"x"
    with pytest.raises(FileNotFoundError) as caught:
        write_file("nowhere/f", b"x")
    assert caught.value.filename == "nowhere/f"
    with pytest.raises(IsADirectoryError):
        write_file("a", b"x")


@pytest.mark.parametrize("act", [
    lambda path: write_file(f"{path}/file", b"hostile"), lambda path: remove_file(f"{path}/file"),
    open_folder, lambda path: open_folder(f"{path}/new", make=0o700), lambda path: locate(f"{path}/file")])
def test_a_link_of_another_user_leads_only_to_what_is_theirs(
        tmp_path: Path, theirs: Path, outside: Path, act: Callable[[str], object]) -> None:
    foreign_link(theirs / "own", "d")
    foreign_link(theirs / "away", outside)
    foreign_link(theirs / "far", f"d/../../{outside.name}")
    (theirs / "d/file").write_text("")
    act(str(theirs / "own"))
    for name in ("away", "far"):
        with pytest.raises(ForeignLink):
            act(str(theirs / name))
    assert (outside / "file").read_text() == "precious"
    assert os.listdir(outside) == ["file"]


def test_a_new_file_is_not_written_through_what_has_been_planted(theirs: Path, outside: Path) -> None:
    foreign_link(theirs / "out", outside / "file")
    with pytest.raises(ForeignLink):
        write_file(str(theirs / "out"), b"hostile")
    remove_file(str(theirs / "out"))
    for suffix in (f"{os.getpid()}.tmp", f"{os.getpid()}.partial"):
        foreign_link(theirs / f"out.{suffix}", outside / "file")
    write_file(str(theirs / "out"), b"result")
    assert (theirs / "out").read_bytes() == b"result"
    assert (outside / "file").read_text() == "precious"


def test_what_is_swapped_while_a_file_is_written_does_not_matter(theirs: Path, outside: Path) -> None:
    (theirs / "d/file").write_text("old")
    (theirs / "d/file").chmod(0o4777)
    with replaced(str(theirs / "d/file")) as fd:
        (partial,) = (theirs / "d").glob("*.partial")
        partial.rename(theirs / "d/kept")
        foreign_link(partial, outside / "file")
        (theirs / "d").rename(theirs / "moved")
        foreign_link(theirs / "d", outside)
        os.write(fd, b"new")
        assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o777
    assert (outside / "file").read_text() == "precious"
    assert stat.S_IMODE((outside / "file").stat().st_mode) == 0o600
    assert os.listdir(outside) == ["file"]


def test_a_pipe_that_becomes_a_link_is_not_written_through(theirs: Path, outside: Path) -> None:
    os.mkfifo(theirs / "pipe")
    reader = os.open(theirs / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    foreign_link(theirs / "link", outside / "file")
    with swapping(theirs / "pipe", theirs / "link"):
        for _ in range(500):
            with suppress(OSError):
                write_file(str(theirs / "pipe"), b"x")
    os.close(reader)
    assert (outside / "file").read_text() == "precious"


def test_a_folder_that_is_swapped_again_and_again_never_leads_outside(theirs: Path, outside: Path) -> None:
    foreign_link(theirs / "link", outside)
    written = 0
    with swapping(theirs / "d", theirs / "link"):
        for _ in range(1000):
            with suppress(OSError):
                remove_file(str(theirs / "d/file"))
                write_file(str(theirs / "d/file"), b"result")
                written += 1
    assert written
    assert os.listdir(outside) == ["file"]
    assert (outside / "file").read_text() == "precious"


def test_devices_and_the_magic_links_of_proc_are_written_as_they_are(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    write_file(f"/proc/self/fd/{writer}", b"through")
    assert os.read(reader, 10) == b"through"
    os.close(reader)
    os.close(writer)
    write_file("/dev/null", b"x")
    fd = os.open(tmp_path / "file", os.O_CREAT | os.O_WRONLY)
    write_file(f"/dev/fd/{fd}", b"by name")
    os.close(fd)
    assert (tmp_path / "file").read_bytes() == b"by name"
