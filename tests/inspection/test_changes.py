"""Differences between stacks of layer directories."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.inspection.changes import changes
from builder.layer.overlay import make_whiteout, set_opaque

pytestmark = pytest.mark.root


@pytest.fixture
def base(tmp_path: Path) -> Path:
    layer = tmp_path / "base"
    for path, content in (("etc/passwd", "root"), ("etc/motd", "hello"), ("var/cache/a", "1"), ("var/cache/b", "2"),
                          ("bin/tool", "x")):
        (layer / path).parent.mkdir(parents=True, exist_ok=True)
        (layer / path).write_text(content)
    (layer / "link").symlink_to("etc")
    return layer


def told(before: list[Path], after: list[Path]) -> list[str]:
    return [f"{change.kind.value} {change.path}" for change in changes([*map(str, before)], [*map(str, after)])]


def test_added_changed_and_deleted(base: Path, tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    (upper / "etc").mkdir(parents=True)
    (upper / "etc/passwd").write_text("toor")
    make_whiteout(upper / "etc/motd")
    (upper / "new/deep").mkdir(parents=True)
    (upper / "new/deep/file").write_text("")
    assert told([base], [base, upper]) == ["C /etc", "D /etc/motd", "C /etc/passwd", "A /new", "A /new/deep",
                                           "A /new/deep/file"]
    assert told([base, upper], [base]) == ["C /etc", "A /etc/motd", "C /etc/passwd", "D /new"]


def test_an_opaque_directory_deletes_what_it_hides(base: Path, tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    (upper / "var/cache").mkdir(parents=True)
    (upper / "var/cache/b").write_text("2")
    set_opaque(upper / "var/cache", "trusted")
    assert told([base], [base, upper]) == ["C /var", "C /var/cache", "D /var/cache/a"]


def test_a_copy_of_the_same_file_is_no_change(base: Path, tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    (upper / "bin").mkdir(parents=True)
    (upper / "bin/tool").write_text("x")
    os.utime(upper / "bin/tool", (1, 1))
    assert told([base], [base, upper]) == []
    (upper / "bin/tool").chmod(0o755)
    assert told([base], [base, upper]) == ["C /bin", "C /bin/tool"]


def test_a_file_that_becomes_a_directory_and_the_reverse(base: Path, tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    (upper / "bin/tool").mkdir(parents=True)
    (upper / "bin/tool/inside").write_text("")
    (upper / "var").write_text("")
    assert told([base], [base, upper]) == ["C /bin", "C /bin/tool", "A /bin/tool/inside", "C /var"]


def test_links_are_compared_and_never_followed(base: Path, tmp_path: Path) -> None:
    upper, other = tmp_path / "upper", tmp_path / "other"
    upper.mkdir()
    other.mkdir()
    (upper / "link").symlink_to(base)
    (upper / "var").symlink_to(other)
    assert told([base], [base, upper]) == ["C /link", "C /var"]


def test_unrelated_stacks(base: Path, tmp_path: Path) -> None:
    assert told([base], [base]) == []
    assert told([], [base])[:2] == ["A /bin", "A /bin/tool"]
    assert told([base], []) == ["D /bin", "D /etc", "D /link", "D /var"]
