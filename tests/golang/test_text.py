"""Tables, times and paths as Go's programs write them."""

from __future__ import annotations

import pytest

from builder.golang.paths import clean, clean_absolute, clean_beneath
from builder.golang.tabwriter import align
from builder.golang.times import parse_rfc3339, rfc3339


def test_columns() -> None:
    rows = [["NAME", "SIZE"], ["日本", "1"], ["a-long-name-indeed", "22"]]
    assert align(rows, padding=3, least=10) == (
        "NAME                 SIZE\n日本                 1\na-long-name-indeed   22\n")
    assert align(rows, padding=1, tab=8) == "NAME\t\t\tSIZE\n日本\t\t\t1\na-long-name-indeed\t22\n"
    assert align([], padding=1) == ""
    assert align([["a"], ["b", "c"]], padding=1) == "a\nb c\n"


@pytest.mark.parametrize(("path", "cleaned", "absolute"), [
    ("a/./b//c/..", "a/b", "/a/b"), ("", ".", "/"), ("//a", "/a", "/a"), ("../../a", "../../a", "/a"),
    ("/..", "/", "/"), ("a/", "a", "/a"),
])
def test_paths(path: str, cleaned: str, absolute: str) -> None:
    assert (clean(path), clean_absolute(path)) == (cleaned, absolute)
    assert clean_beneath(path.encode()) == clean_beneath(path).encode() == absolute[1:].encode()


def test_times() -> None:
    assert [rfc3339(s) for s in (0, 1.5, 253402300800)] == [
        "1970-01-01T00:00:00Z", "1970-01-01T00:00:01.5Z", "10000-01-01T00:00:00Z"]
    assert parse_rfc3339("1970-01-01T00:00:01.5Z") == 1.5
    assert parse_rfc3339("yesterday") is None
