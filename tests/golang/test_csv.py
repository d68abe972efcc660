"""Lists in flags, as buildx reads them: each sentence below is docker's own for the same text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.golang.csv import CsvError, csv_fields, csv_records, csv_text

BARE = 'bare " in non-quoted-field'
QUOTED = 'extraneous or missing " in quoted-field'


@pytest.mark.parametrize(("text", "fields"), [
    ("a,b", ["a", "b"]), ("a", ["a"]), ("", [""]), (",", ["", ""]), ("a,", ["a", ""]), ('"a,b",c', ["a,b", "c"]),
    ('"a""b"', ['a"b']), ('""', [""]), ('x,""', ["x", ""]), ("a=1\nb=2", ["a=1\nb=2"]), ("a,b\n", ["a", "b"]),
    ("\na", ["\na"]), (' "', None), ("a, b", ["a", " b"]), ('"a\nb"', ["a\nb"]),
])
def test_fields(text: str, fields: list[str] | None) -> None:
    if fields is None:
        with pytest.raises(CsvError):
            csv_fields(text)
    else:
        assert csv_fields(text) == fields


@pytest.mark.parametrize(("text", "column", "why"), [
    ('id=a,src=/tmp/x"y', 16, BARE), ('"id=a,src=/tmp/clictx/Dockerfile', 2, QUOTED),
    ('"id=a"x,src=/tmp/clictx/Dockerfile', 6, QUOTED), ('type=local,dest="x', 17, BARE),
    ('type=cacheonly,"a"b', 18, QUOTED), ('check,x"y', 8, BARE), ('a"b', 2, BARE), ('é"b', 3, BARE),
])
def test_bad_quotes(text: str, column: int, why: str) -> None:
    with pytest.raises(CsvError) as failure:
        csv_fields(text)
    assert str(failure.value) == f"parse error on line 1, column {column}: {why}"


def test_records() -> None:
    assert csv_records('a,b\r\n\n1,"2\n3"\nx,y') == [["a", "b"], ["1", "2\n3"], ["x", "y"]]
    with pytest.raises(CsvError, match="line 2, column 2"):
        csv_records('a,b\n1"2,3')


@given(st.lists(st.text(st.characters(exclude_characters="\r\n")), min_size=1))
def test_what_is_written_is_read_back(fields: list[str]) -> None:
    assert csv_fields(csv_text(fields)) == fields
