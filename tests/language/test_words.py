"""Expansion of words: a table of our own, words recorded from BuildKit, and what depends on the kind of text."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.language.words import Expansion, ExpansionError, Words

TESTDATA = Path(__file__).parents[2] / "testdata" / "words"
_ROW = re.compile(r"(?P<word>.*?)\s+(?P<arrow>=>|!>) (?P<result>.*?)"
                  r"(?:\s+\[(?P<set>[^|\[\]]*)(?:\|(?P<unset>[^\]]*))?\])?")


def _table() -> tuple[dict[str, str], list[re.Match[str]]]:
    env: dict[str, str] = {}
    rows = []
    for line in (TESTDATA / "words.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("env "):
            env |= dict(pair.split("=", 1) for pair in line[4:].split())
        elif line and not line.startswith("#"):
            row = _ROW.fullmatch(line)
            assert row, line
            rows.append(row)
    return env, rows


ENV, ROWS = _table()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["word"])
def test_table(row: re.Match[str]) -> None:
    if row["arrow"] == "!>":
        with pytest.raises(ExpansionError) as caught:
            Words().expand(row["word"], ENV)
        assert caught.value.reason == row["result"]
    else:
        result = "" if row["result"] == "@" else row["result"]
        names = [tuple((row[group] or "").split()) for group in ("set", "unset")]
        assert Words().expand(row["word"], ENV) == Expansion(result, *names)


def test_recorded_from_buildkit() -> None:
    recorded = msgspec.json.decode((TESTDATA / "recorded.json").read_bytes())
    assert len(recorded["cases"]) > 80
    for case in recorded["cases"]:
        words = Words(case.get("escape", "\\"))
        env = recorded["envs"][case.get("env", "default")]
        if case.get("error"):
            with pytest.raises(ExpansionError):
                words.expand(case["input"], env)
        else:
            assert words.expand(case["input"], env).result == case["expect"], case["input"]


@pytest.mark.parametrize(("word", "words"), [
    ("a b", ["a", "b"]),
    ("  a \t b ", ["a", "b"]),
    ("a\\ b", ["a b"]),
    ("'a b' \"c d\"", ["a b", "c d"]),
    ("$LIST", ["x", "y"]),
    ("a$LIST", ["ax", "y"]),
    ("a${LIST}b", ["ax", "yb"]),
    ("\"$LIST\"", ["x  y"]),
    ("", []),
    ("''", []),
    ("<<  EOF x", ["<<  EOF", "x"]),
    ("80${NOPE:-80}", ["80"]),  # an operand forgets the word before it, observed with EXPOSE
    ("a ${NOPE:-b}c", ["a", "bc"]),
])
def test_splitting(word: str, words: list[str]) -> None:
    assert Words().expand_many(word, {"LIST": "x  y"}) == words


def test_the_escape_character_can_be_a_backtick() -> None:
    assert Words("`").expand("c:\\$A`$A`", {"A": "x"}).result == "c:\\x$A"


def test_raw_text_keeps_quotes_escapes_and_unset_variables() -> None:
    raw = Words(raw_quotes=True, raw_escapes=True, skip_unset=True)
    text = "'a' \"b\" \\c $NO ${NO} ${NO:-x} ${NO#y} ${NO/a/b}"
    assert raw.expand(text, {}).result == text
    assert raw.expand("\"a\\b\" $YES", {"YES": "1"}).result == "\"a\\\\b\" 1"  # as BuildKit: doubled


def test_quotes_are_text_in_here_documents() -> None:
    assert Words(skip_quotes=True).expand("it's \"$A\" '$A' \\$A", {"A": "x"}).result == "it's \"x\" 'x' $A"


def test_a_word_loses_a_byte_order_mark() -> None:
    assert Words().expand("\ufeffa", {}).result == "a"


@pytest.mark.parametrize("word", ["${a:-" * 10_000 + "}" * 10_000, "${a:-" * 10_000, '"${a:-' * 10_000])
def test_deep_nesting_is_refused(word: str) -> None:
    with pytest.raises(ExpansionError, match="nested more than 100 deep"):
        Words().expand(word, {})


@settings(deadline=None)  # the first example loads the grammar
@given(st.text(alphabet="ab '\"\\$", max_size=12))
def test_quoting_protects_everything(text: str) -> None:
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'
    assert Words().expand(quoted, {"a": "x"}).result == text
    assert Words().expand_many(quoted, {"a": "x"}) == ([text] if text else [])


@settings(deadline=None)  # the first example loads the grammar
@given(st.text(alphabet="a{}:-+?#%/'\"\\$ ", max_size=20))
def test_anything_expands_or_is_refused(word: str) -> None:
    for rules in (Words(), Words("`"), Words(skip_quotes=True), Words(raw_quotes=True, skip_unset=True)):
        for expand in (rules.expand, rules.expand_many):
            try:
                expand(word, {"a": "aa/a"})
            except ExpansionError as error:
                assert error.reason
