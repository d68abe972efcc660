"""One layer made of several shows what they show."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from builder.layer.overlay import is_opaque, make_whiteout, set_opaque
from builder.layer.squash import squash
from builder.layer.view import MergedView
from builder.rooted.root import Root

pytestmark = pytest.mark.root


@pytest.fixture
def layers(tmp_path: Path) -> list[str]:
    """A base and three layers over it that change, hide and replace its files and each other's."""
    for name in ("base", "one", "two", "three"):
        (tmp_path / name).mkdir()
    base, one, two, three = (tmp_path / name for name in ("base", "one", "two", "three"))
    for path in ("kept/f", "gone/f", "replaced/f", "file-then-directory", "hidden/deep/f"):
        (base / path).parent.mkdir(exist_ok=True, parents=True)
        (base / path).write_text(f"base {path}")
    (one / "new").mkdir(mode=0o750)
    (one / "new" / "a").write_text("a")
    os.link(one / "new" / "a", one / "new" / "b")
    make_whiteout(str(one / "file-then-directory"))
    (one / "replaced").mkdir()
    (one / "replaced" / "x").write_text("x")
    set_opaque(str(one / "replaced"), "trusted")
    make_whiteout(str(one / "hidden"))
    (two / "file-then-directory").mkdir()
    (two / "file-then-directory" / "inside").write_text("inside")
    make_whiteout(str(two / "gone"))
    (two / "new").mkdir(mode=0o700)
    os.chown(two / "new", 5, 6)
    (two / "new" / "c").symlink_to("a")
    (two / "hidden").mkdir()
    (two / "hidden" / "again").write_text("again")
    (three / "gone").write_text("a file now")
    (three / "new").mkdir(mode=0o700)
    make_whiteout(str(three / "new" / "a"))
    os.utime(three / "new", (7, 7))
    return [str(layer) for layer in (base, one, two, three)]


def listing(dirs: list[str]) -> dict[str, tuple[str, int, int, str]]:
    view = MergedView(dirs)
    found = {}
    pending = [""]
    while pending:
        for entry in view.children(pending.pop()):
            status = entry.stat
            text = (entry.readlink() if entry.is_link else
                    Path(f"{entry.root.path}/{entry.path}").read_text() if entry.is_file else str(status.st_mtime_ns))
            found[entry.path] = (stat.filemode(status.st_mode), status.st_uid, status.st_gid, text)
            if entry.is_dir:
                pending.append(entry.path)
    return found


def test_on_a_base(layers: list[str], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    squash(layers[1:], str(tmp_path / "out"), xattr_prefix="trusted", on_base=True)
    assert listing([layers[0], str(tmp_path / "out")]) == listing(layers)
    assert is_opaque(Root(str(tmp_path / "out" / "hidden")), "")


def test_alone(layers: list[str], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    squash(layers, str(tmp_path / "out"), xattr_prefix="trusted", on_base=False)
    assert listing([str(tmp_path / "out")]) == listing(layers)
    for path in (tmp_path / "out").rglob("*"):
        assert not stat.S_ISCHR(path.lstat().st_mode)
        assert not path.is_dir() or not is_opaque(Root(str(path)), "")


def test_hard_links_stay_links(layers: list[str], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    squash(layers[1:3], str(tmp_path / "out"), xattr_prefix="trusted", on_base=True)
    one, two = (os.stat(tmp_path / "out" / "new" / name) for name in "ab")
    assert one.st_ino == two.st_ino
