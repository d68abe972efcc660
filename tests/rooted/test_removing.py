"""Every tree can be removed, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest

from builder.rooted.removing import remove_path, temporary_folder
from tests.rooted.deep import make_deep


def test_whatever_is_in_it_a_tree_is_removed(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "locked").mkdir(parents=True)
    (top / "locked" / "file").touch()
    (top / "locked").chmod(0)
    (top / "link").symlink_to(tmp_path)
    os.mkfifo(top / "fifo")
    (top / os.fsdecode(b"\xff")).touch()
    remove_path(str(top))
    assert os.listdir(tmp_path) == []
    remove_path(str(top))


def test_a_tree_that_is_deeper_than_a_path_can_be_long(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    home = os.open(".", os.O_RDONLY)
    os.chdir(top)
    try:
        for _ in range(400):
            os.mkdir("directory" * 5)
            os.chdir("directory" * 5)
        Path("file").touch()
    finally:
        os.fchdir(home)
        os.close(home)
    remove_path(str(top))
    assert os.listdir(tmp_path) == []


def test_a_temporary_folder_is_removed_whatever_was_put_in_it(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), temporary_folder("t-", str(tmp_path)) as folder:
        assert os.listdir(tmp_path) == [os.path.basename(folder)]
        assert os.stat(folder).st_mode & 0o777 == 0o700
        make_deep(Path(folder), 2000, "directory" * 10)
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []


def test_immutable_files_are_removed(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "directory").mkdir(parents=True)
    (top / "directory" / "file").touch()
    made = [subprocess.run(["chattr", "+i", path], capture_output=True).returncode
            for path in (top / "directory" / "file", top / "directory")]
    if any(made):
        pytest.skip("chattr +i is not possible here")
    remove_path(str(top))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("depth", "length"), [(8000, 200), (300, 255), (2000, 1)])
def test_depth_and_long_names_are_no_matter(tmp_path: Path, depth: int, length: int) -> None:
    (top := tmp_path / ("t" * 255)).mkdir()
    make_deep(top, depth, "n" * length)
    remove_path(str(top))
    assert os.listdir(tmp_path) == []


def test_several_may_remove_one_tree(tmp_path: Path) -> None:
    (top := tmp_path / "top").mkdir()
    for number in range(20):
        (branch := top / str(number)).mkdir()
        make_deep(branch, 40, "d")
    errors: list[OSError] = []

    def run() -> None:
        try:
            remove_path(str(top))
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert os.listdir(tmp_path) == []
