"""A context that several targets read is walked once."""

from __future__ import annotations

from pathlib import Path

from builder.context.local import ListedContext, LocalContext
from builder.language.ignore import IgnoreRules


def test_a_directory_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "old").touch()
    (tmp_path / "hidden").touch()
    context = ListedContext.of(LocalContext(str(tmp_path), IgnoreRules.parse("hidden\n")))
    first = [entry.path for entry in context.walk("")]
    (tmp_path / "d" / "new").touch()
    assert first == ["d", "d/old"]
    assert [entry.path for entry in context.walk("")] == first
    assert [entry.path for entry in context.children("d")] == ["d/old"]
    assert [entry.path for entry in LocalContext(str(tmp_path)).walk("")] == ["d", "d/new", "d/old", "hidden"]
