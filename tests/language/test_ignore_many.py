"""Ignore files with more patterns than anybody writes: the same answers, in a time that does not multiply."""

from __future__ import annotations

import random
import time

import pytest

from builder.language.ignore import IgnoreRules, TooManyPatterns

PIECES = ("a", "b", "ab", "*", "?", "**", "/", "/", "**/", "/**", "[ab]", "\\a", ".", "ba")
NAMES = ("a", "b", "ab", "ba", "aab", "a.b", ".a", "bab")


def _paths(generator: random.Random) -> list[str]:
    return ["/".join(generator.choice(NAMES) for _ in range(generator.randint(1, 4))) for _ in range(200)]


@pytest.mark.parametrize("seed", range(30))
def test_many_patterns_decide_as_each_of_them_does(seed: int) -> None:
    generator = random.Random(seed)
    texts = []
    while len(texts) < 60:
        text = "".join(generator.choice(PIECES) for _ in range(generator.randint(1, 6)))
        if text.strip("/.") and ".." not in text and text != "**":
            texts.append(f"{text}")
    together = IgnoreRules.parse("\n".join(texts))
    alone = [IgnoreRules.parse(text) for text in texts]
    for path in _paths(generator):
        assert together.excludes(path) == any(rules.excludes(path) for rules in alone), path


@pytest.mark.parametrize("pattern", ["**/x{}*y{}", "a/b{}", "**/name{}", "name{}/**", "**/x{}[ab]y{}", "d{}/*.txt",
                                     "*.e{}"])
def test_a_hundred_thousand_patterns_cost_a_path_no_more_than_a_few(pattern: str) -> None:
    rules = IgnoreRules.parse("\n".join(pattern.format(number, number) for number in range(100_000)))
    paths = [f"dir{number % 50}/x{number}zzzy{number}.txt" for number in range(2_000)]
    start = time.monotonic()
    excluded = sum(rules.excludes(path) for path in paths)
    assert time.monotonic() - start < 5
    assert excluded == 0
    assert rules.excludes(pattern.format(77, 77).replace("**/", "q/").replace("[ab]", "a").replace("*", "zz")
                          .removesuffix("/zzzz") + ("/z" if pattern.endswith("/**") else ""))


def test_so_many_patterns_that_every_name_has_to_be_tried_are_an_error() -> None:
    with pytest.raises(TooManyPatterns, match=r"^x line 501: more than 500 patterns with wild.* alike$"):
        IgnoreRules.parse("\n".join(f"*q{number}*" for number in range(10_000)), "x")


def test_endless_turns_of_patterns_and_exceptions_are_an_error() -> None:
    with pytest.raises(TooManyPatterns, match=r"^x line 1001: .* take turns more than 1000 times$"):
        IgnoreRules.parse("\n".join(f"a{number}\n!b{number}" for number in range(10_000)), "x")


def test_stars_in_stars_do_not_backtrack() -> None:
    deep = "/".join(["a"] * 1000) + "/c"
    rules = IgnoreRules.parse("/".join(["**/*a*"] * 15) + "/b\n" + "/".join(["**/a"] * 15) + "/b")
    start = time.monotonic()
    assert not any(rules.excludes(deep) for _ in range(10))
    assert time.monotonic() - start < 5
    assert rules.excludes("/".join(["a"] * 40) + "/b")
