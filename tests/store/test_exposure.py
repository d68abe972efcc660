"""A state folder through which somebody else could make this process work for them is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.store import Store
from builder.store.exposure import StoreExposed

pytestmark = pytest.mark.root
STRANGER = 4242
FOLDERS = ["", "layers", "blobs", "blobs/sha256", "stage", "mounts", "locks", "stat", "logs", "damaged", "git"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    Store.open(str(folder)).close()
    (folder / "git").mkdir(0o700)
    return folder


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_of_another_user_is_refused(root: Path, folder: str) -> None:
    os.chown(root / folder, STRANGER, STRANGER)
    with pytest.raises(StoreExposed, match="cannot trust the state folder") as caught:
        Store.open(str(root))
    assert caught.value.cause == f"`{root / folder}` belongs to user {STRANGER}, not to user `root`"
    assert caught.value.hint == "name a folder of your own with `--root`"


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o1777, 0o720])
@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_that_others_may_write_to_is_refused(root: Path, folder: str, mode: int) -> None:
    (root / folder).chmod(mode)
    with pytest.raises(StoreExposed) as caught:
        Store.open(str(root))
    assert caught.value.cause == f"other users may write to `{root / folder}` (mode {mode:04o})"
    assert caught.value.hint == f"run `chmod go-w {root / folder}` if nobody has, or name another folder with `--root`"


@pytest.mark.parametrize("folder", FOLDERS[1:])
def test_no_folder_is_a_link(root: Path, tmp_path: Path, folder: str) -> None:
    (root / folder).rename(tmp_path / "elsewhere")
    (root / folder).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreExposed) as caught:
        Store.open(str(root))
    assert caught.value.cause == f"`{root / folder}` is a symbolic link"


@pytest.mark.parametrize("planted", ["layers", "blobs", "stage", "locks"])
def test_what_was_planted_in_a_folder_that_is_no_store_yet_is_refused(tmp_path: Path, planted: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (root := tmp_path / "root").mkdir()
    (root / planted).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreExposed):
        Store.open(str(root))
    assert os.listdir(tmp_path / "elsewhere") in ([], ["sha256"])


def test_an_empty_folder_of_another_user_does_not_become_a_store(tmp_path: Path) -> None:
    (root := tmp_path / "root").mkdir()
    os.chown(root, STRANGER, STRANGER)
    with pytest.raises(StoreExposed):
        Store.open(str(root))
    assert os.listdir(root) == []


def test_who_owns_a_folder_above_could_exchange_it(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    os.chown(tmp_path / "home", STRANGER, STRANGER)
    with pytest.raises(StoreExposed) as caught:
        Store.open(str(tmp_path / "home/root"))
    assert caught.value.cause == f"`{tmp_path}/home`, above it, belongs to user {STRANGER}, who can exchange it"
    assert os.listdir(tmp_path / "home") == []


@pytest.mark.parametrize(("mode", "trusted"), [(0o777, False), (0o1777, True), (0o755, True)])
def test_a_folder_above_may_be_open_to_all_if_nobody_can_rename_there(tmp_path: Path, mode: int, trusted: bool) -> None:
    Store.open(str(tmp_path / "open/root")).close()
    (tmp_path / "open").chmod(mode)
    if trusted:
        Store.open(str(tmp_path / "open/root")).close()
    else:
        with pytest.raises(StoreExposed, match="cannot trust") as caught:
            Store.open(str(tmp_path / "open/root"))
        assert caught.value.cause == f"all users may write to `{tmp_path}/open`, above it, and exchange it"


def test_a_link_to_the_root_is_followed_once(root: Path, tmp_path: Path) -> None:
    (tmp_path / "name").symlink_to(root)
    with Store.open(str(tmp_path / "name")) as store:
        assert store.root == str(root)
