"""Results are written to folders of another user, who plants and swaps links there while root builds."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

STRANGER = 54321
WRITING = {
    "local": ("build", "-o", "type=local,dest=theirs/d", "context"),
    "local beneath": ("build", "-o", "type=local,dest=theirs/d/out", "context"),
    "tar": ("build", "-o", "type=tar,dest=theirs/d/file", "context"),
    "layout": ("build", "-o", "type=oci,tar=false,dest=theirs/d", "context"),
    "archive": ("build", "-o", "type=oci,dest=theirs/d/file", "context"),
    "cache": ("build", "--cache-to", "type=local,dest=theirs/d,ignore-error=false", "context"),
    "iidfile": ("build", "--iidfile", "theirs/d/file", "context"),
    "metadata": ("build", "--metadata-file", "theirs/d/file", "context"),
    "save": ("save", "-o", "theirs/d/file", "app"),
    "fmt": ("fmt", "theirs/d/file"),
}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "file").write_text("from  precious\n")
    (folder / "file").chmod(0o600)
    return folder


@pytest.fixture
def theirs(tmp_path: Path, outside: Path, cli: Cli) -> Path:
    """A folder of another user's: `d` is a folder, `link` leads out; `app` is built already."""
    (tmp_path / "context").mkdir()
    (tmp_path / "context/Dockerfile").write_text("FROM scratch\nCOPY file /\n")
    (tmp_path / "context/file").write_text("result")
    assert cli("build", "-q", "-t", "app", "context").returncode == 0
    folder = tmp_path / "theirs"
    (folder / "d").mkdir(parents=True)
    (folder / "d/file").write_text("from  scratch\n")
    (folder / "link").symlink_to(outside)
    for path in (folder, folder / "d", folder / "d/file", folder / "link"):
        os.chown(path, STRANGER, STRANGER, follow_symlinks=False)
    return folder


def is_untouched(outside: Path) -> bool:
    file = outside / "file"
    return (os.listdir(outside), file.read_text(), file.stat().st_mode & 0o7777) == (
        ["file"], "from  precious\n", 0o600)


@pytest.mark.parametrize("what", WRITING)
def test_a_link_of_theirs_in_the_way_is_refused_in_words(cli: Cli, theirs: Path, outside: Path, what: str) -> None:
    (theirs / "d").rename(theirs / "away")
    (theirs / "link").rename(theirs / "d")
    done = cli(*WRITING[what])
    assert done.returncode != 0
    assert "another user's link" in done.stderr.lower()
    assert "Traceback" not in done.stderr
    assert is_untouched(outside)


@pytest.mark.parametrize("what", WRITING)
def test_a_folder_that_is_swapped_for_a_link_takes_nothing_outside(
        cli: Cli, theirs: Path, outside: Path, what: str) -> None:
    with _swapping(theirs):
        for _ in range(3):
            assert "Traceback" not in cli(*WRITING[what]).stderr
    assert is_untouched(outside)


@contextmanager
def _swapping(folder: Path) -> Iterator[None]:
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for source, target in (("d", "spare"), ("link", "d"), ("d", "link"), ("spare", "d")):
                with suppress(OSError):
                    os.rename(folder / source, folder / target)
                if target == "d":
                    stop.wait(0.001)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
