"""A context that several targets read is walked once."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.context.local import ListedContext, LocalContext
from builder.language.ignore import IgnoreRules


def test_a_directory_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "old").touch()
    (tmp_path / "hidden").touch()
    context = ListedContext(LocalContext(str(tmp_path), IgnoreRules.parse("hidden\n")))
    first = [entry.path for entry in context.walk("")]
    (tmp_path / "d" / "new").touch()
    assert first == ["d", "d/old"]
    assert [entry.path for entry in context.walk("")] == first
    assert [entry.path for entry in context.children("d")] == ["d/old"]
    assert [entry.path for entry in LocalContext(str(tmp_path)).walk("")] == ["d", "d/new", "d/old", "hidden"]


@pytest.mark.parametrize("root_owned", [True, False])
def test_owners_are_those_of_the_context(tmp_path: Path, root_owned: bool) -> None:
    """Of an archive the files keep their owners."""
    assert ListedContext(LocalContext(str(tmp_path), root_owned=root_owned)).root_owned is root_owned
