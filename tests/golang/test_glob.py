"""Go path patterns."""

from __future__ import annotations

import time

import pytest

from builder.golang.glob import BadPattern, compile_pattern, has_wildcard


@pytest.mark.parametrize(("pattern", "matching", "other"), [
    ("abc", ["abc"], ["ab", "abcd", "Abc"]),
    ("*", ["", "abc", ".x"], ["a/b"]),
    ("*c", ["abc", "c", "cc"], ["abcd"]),
    ("a*", ["a", "abc"], ["a/b", "ba"]),
    ("a*/b", ["a/b", "abc/b"], ["a/c/b"]),
    ("a*b*c*d*e*/f", ["axbxcxdxe/f", "abcde/f"], ["axbxcxdxexxx/fff", "axbxcxdxe/xxx/f"]),
    ("a*b?c*x", ["abxbbxdbxebxczzx"], ["abxbbxdbxebxczzy"]),
    ("a?c", ["abc", "a☺c"], ["ac", "a/c", "abbc"]),
    ("ab[c]", ["abc"], ["abd"]),
    ("ab[b-d]", ["abb", "abc", "abd"], ["abe", "aba"]),
    ("ab[^b-d]", ["abe", "ab☺", "ab/"], ["abc"]),
    ("ab[^e-g]", ["abc"], ["abf"]),
    ("[!a]", ["!", "a"], ["b"]),
    ("[a-z]", ["b"], ["-"]),
    ("[\\]a]", ["]", "a"], ["\\"]),
    ("[\\-]", ["-"], ["x"]),
    ("[x\\-]", ["x", "-"], ["z"]),
    ("[\\-x]", ["x", "-"], ["a"]),
    ("[z-a]", [], ["a", "m", "z"]),
    ("[^z-a]", ["a", "m"], ["ab"]),
    ("[[]", ["["], ["]"]),
    ("[&&~~||]", ["&", "~", "|"], ["a"]),
    ("[^^]", ["a"], ["^"]),
    ("[日-語]", ["本", "日", "語"], ["a"]),
    ("a\\*b", ["a*b"], ["ab", "axb"]),
    ("\\a", ["a"], ["\\a"]),
    ("a**b", ["ab", "axb"], ["a/b"]),
    ("a.b+(c)", ["a.b+(c)"], ["axb+(c)"]),
    ("a\nb*", ["a\nb\n"], ["a"]),
    ("", [""], ["a"]),
])
def test_match(pattern: str, matching: list[str], other: list[str]) -> None:
    compiled = compile_pattern(pattern)
    assert [text for text in matching if not compiled.fullmatch(text)] == []
    assert [text for text in other if compiled.fullmatch(text)] == []


@pytest.mark.parametrize("pattern", ["[", "[a", "[]", "[]a]", "[^]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[a-z-]",
                                     "[^bc", "[a-", "\\", "a\\", "[\\", "[a\\", "a[", "*[", "b[a", "[^-x]"])
def test_malformed(pattern: str) -> None:
    with pytest.raises(BadPattern):
        compile_pattern(pattern)


def test_wildcards() -> None:
    assert [text for text in ("a", "a*", "?", "[", "a\\b", "]", "!a", "**") if has_wildcard(text)] == [
        "a*", "?", "[", "a\\b", "**"]


def test_no_pattern_takes_long() -> None:
    start = time.perf_counter()
    assert not compile_pattern("*a" * 40 + "b").fullmatch("a" * 100_000)
    assert time.perf_counter() - start < 1
