from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from builder.errors import StoreError
from builder.store import Store
from builder.store.layout import NotAStore, StoreTooNew, WrongPrivileges, usable_xattr_prefix


def test_new_folder(tmp_path: Path) -> None:
    root = tmp_path / "a" / "b"
    with Store.open(str(root)) as store:
        assert store.root == str(root)
        assert len(store.secret) == 32
        assert store.xattr_prefix == usable_xattr_prefix()
        assert store.get_record("key") is None
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert stat.S_IMODE((root / "secret").stat().st_mode) == 0o600
    assert (root / "format").read_text() == f"builder 1\nxattr {usable_xattr_prefix()}\n"
    assert (root / "oci-layout").read_text() == '{"imageLayoutVersion":"1.0.0"}\n'


def test_opening_again(tmp_path: Path) -> None:
    with Store.open(str(tmp_path)) as store:
        secret, digest = store.secret, store.put_blob(b"x")
    with Store.open(str(tmp_path)) as store:
        assert store.secret == secret
        assert store.has_blob(digest)


def test_relative_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Store.open("root") as store:
        assert store.root == str(tmp_path / "root")


def test_newer_format_is_refused(tmp_path: Path) -> None:
    Store.open(str(tmp_path)).close()
    (tmp_path / "format").write_text("builder 2\nxattr trusted\n")
    with pytest.raises(StoreTooNew, match="has format 2; this version of builder knows 1"):
        Store.open(str(tmp_path))


def test_newer_index_is_refused(tmp_path: Path) -> None:
    with Store.open(str(tmp_path)) as store:
        store.db.rows("PRAGMA user_version=2")
    with Store.open(str(tmp_path)) as store, pytest.raises(StoreError, match="has version 2, newer"):
        store.get_record("key")


@pytest.mark.parametrize("text", ["", "builder\n", "something else entirely\n", "builder x\nxattr user\n"])
def test_damaged_format(tmp_path: Path, text: str) -> None:
    Store.open(str(tmp_path)).close()
    (tmp_path / "format").write_text(text)
    with pytest.raises(StoreError, match="is damaged"):
        Store.open(str(tmp_path))


def test_other_privileges_are_refused(tmp_path: Path) -> None:
    Store.open(str(tmp_path)).close()
    other = {"trusted": "user", "user": "trusted"}[usable_xattr_prefix()]
    (tmp_path / "format").write_text(f"builder 1\nxattr {other}\n")
    with pytest.raises(WrongPrivileges, match="cannot be used otherwise") as caught:
        Store.open(str(tmp_path))
    assert caught.value.hint == "use another folder with `--root`"


def test_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    tmp_path.chmod(0o755)
    with pytest.raises(NotAStore, match="is not empty") as caught:
        Store.open(str(tmp_path))
    assert caught.value.notes == ("it contains `holiday.jpg`",)
    assert os.listdir(tmp_path) == ["holiday.jpg"]
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_root_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot use the state folder") as caught:
        Store.open(str(tmp_path / "file" / "root"))
    assert caught.value.cause is not None and "Not a directory" in caught.value.cause


@pytest.mark.parametrize("content", [b"no database, whatever its name says" * 100,
                                     b"SQLite format 3\x00" + b"\xff" * 9000])
def test_damaged_index(tmp_path: Path, content: bytes) -> None:
    with Store.open(str(tmp_path)) as store:
        store.put_blob(b"x")
    (tmp_path / "index.db").write_bytes(content)
    with Store.open(str(tmp_path)) as store, pytest.raises(StoreError, match=r"index\.db") as caught:
        store.get_record("key")
    assert caught.value.code == "store-damaged"
    assert caught.value.hint is not None and "builder fsck --repair" in caught.value.hint
