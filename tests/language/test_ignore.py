"""Ignore rules: cases of testdata/ignore, and what walkers and messages need."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.language.ignore import BadIgnorePattern, IgnoreRules, line_for

CASES = sorted(path.parent for path in (Path(__file__).parents[2] / "testdata" / "ignore").glob("*/ignore"))


def _load(case: Path) -> tuple[IgnoreRules, dict[str, bool]]:
    with open(case / "ignore", encoding="utf-8", newline="") as file:
        rules = IgnoreRules.parse(file.read())
    lines = (case / "paths.txt").read_text(encoding="utf-8").splitlines()
    return rules, {line[2:]: line.startswith("-") for line in lines}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Path) -> None:
    rules, excluded = _load(case)
    assert {path: rules.excludes(path) for path in excluded} == excluded
    for path in excluded:
        assert (rules.deciding_rule(path) is not None) == excluded[path]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_pruning_loses_nothing(case: Path) -> None:
    rules, excluded = _load(case)
    for path, hidden in excluded.items():
        if any(not excluded[below] for below in excluded if hidden and below.startswith(path + "/")):
            assert rules.may_have_inclusions_below(path)


def test_directories_without_exceptions_below_need_not_be_read() -> None:
    rules = IgnoreRules.parse("dist\nbuild/**\n!build/keep\n!a*/b/c\nvendor\n")
    assert [d for d in ("dist", "build", "build/keep", "vendor", "ax", "ax/b", "ax/c", "ax/b/c")
            if rules.may_have_inclusions_below(d)] == ["build", "ax", "ax/b"]
    assert IgnoreRules.parse("*\n!**/x").may_have_inclusions_below("any/thing")
    assert IgnoreRules.parse("*\n!a[/]b").may_have_inclusions_below("any/thing")


def test_explanations_name_the_last_word() -> None:
    rules = IgnoreRules.parse("# generated\ndist\n*.log\n!keep.log\n**/keep.log\n", "web.dockerignore")
    assert rules.explain("dist/app.js") == "`web.dockerignore` line 2: `dist`"
    assert rules.explain("x.log") == "`web.dockerignore` line 3: `*.log`"
    assert rules.explain("keep.log") == "`web.dockerignore` line 5: `**/keep.log`"
    assert rules.explain("src") is None
    assert IgnoreRules.compile(["*.o"]).explain("x.o") == "`*.o`"


@pytest.mark.parametrize(("text", "message"), [
    ("a\n!\n", '.dockerignore line 2: illegal exclusion pattern: "!"'),
    ("[a", ".dockerignore line 1: syntax error in pattern: `[a`"),
    ("\n![]x]", ".dockerignore line 2: syntax error in pattern: `[]x]`"),
    ("a\\", ".dockerignore line 1: syntax error in pattern: `a\\`"),
    ("!/", '.dockerignore line 1: illegal exclusion pattern: "!"'),
])
def test_malformed_patterns(text: str, message: str) -> None:
    with pytest.raises(BadIgnorePattern) as caught:
        IgnoreRules.parse(text)
    assert caught.value.message == message


def test_rules_from_a_list() -> None:
    rules = IgnoreRules.compile([" *.o ", "!keep.o", "", "#x"])
    assert [rules.excludes(path) for path in ("a.o", "keep.o", "#x")] == [True, False, True]
    assert rules.has_exceptions
    assert not IgnoreRules.compile(["a"]).has_exceptions


@given(st.lists(st.tuples(st.booleans(), st.lists(st.sampled_from(["a", "b", "*", "**", "a*", "?"]), min_size=1,
                                                  max_size=3)), min_size=1, max_size=4),
       st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=4))
def test_groups_decide_like_single_rules(rules: list[tuple[bool, list[str]]], path: list[str]) -> None:
    """Against the definition: rule after rule, directory after directory, each pattern as a plain expression."""
    compiled = IgnoreRules.compile(("!" if negated else "") + "/".join(parts) for negated, parts in rules)
    above = [False] * len(rules)
    excluded = False
    for depth in range(1, len(path) + 1):
        step = "/".join(path[:depth])
        excluded = False
        here = [False] * len(rules)
        for index, (negated, _) in enumerate(rules):
            if above[index] or (negated is excluded and _matches(compiled.rules[index].pattern, step)):
                here[index] = True
                excluded = not negated
        above = here
    assert compiled.excludes("/".join(path)) is excluded


def _matches(pattern: str, path: str) -> bool:
    if pattern.endswith("**") and not re.search(r"[*?]", pattern[:-2]):
        return path.startswith(pattern[:-2])
    expression = re.sub(r"\*\*/?$|\*\*/?|\*|\?", lambda token: {
        "**": ".*" if token.end() == len(pattern) else "(.*/)?", "**/": "(.*/)?", "*": "[^/]*", "?": "[^/]"}[token[0]],
        pattern)
    return re.fullmatch(expression, path) is not None


PATTERNS = st.lists(st.sampled_from(["a", "b", ".c", "*", "**", "a*", "?", "[ab]", "*.c", "a\\b"]), min_size=1,
                    max_size=3)
NAMES = st.lists(st.sampled_from(["a", "b", "ab", "a.c", ".c", "d"]), min_size=1, max_size=6)


@given(st.lists(st.tuples(st.booleans(), PATTERNS), max_size=4), st.lists(st.sampled_from("abd"), max_size=2), NAMES)
def test_a_directory_of_which_nothing_is_hidden(rules: list[tuple[bool, list[str]]], directory: list[str],
                                                names: list[str]) -> None:
    compiled = IgnoreRules.compile(("!" if exception else "") + "/".join(parts) for exception, parts in rules)
    state = compiled.match_parents("/".join(directory))
    paths = ["/".join((*directory, name)) for name in names]
    if compiled.hides_none(paths, state):
        assert [compiled.match(path, state) for path in paths] == [(False, 0)] * len(paths)


def test_most_directories_need_not_be_asked_for_by_file() -> None:
    rules = IgnoreRules.parse("node_modules\n**/*.log\n!src/important.log\nbuild/**\n*.md\n")
    assert rules.hides_none(["src/a.py", "src/important.txt"], None)
    assert not rules.hides_none(["src/a.py", "src/b.log"], None)
    assert not rules.hides_none(["build/a.py"], None)
    assert not rules.hides_none(["node_modules", "src"], None)


@pytest.mark.parametrize("pattern", ["*a" * 30 + "b", "**/" * 3 + "*a" * 10 + "b"])
def test_no_pattern_takes_long(pattern: str) -> None:
    start = time.perf_counter()
    assert not IgnoreRules.parse(pattern).excludes("/".join(["a" * 200] * 20))
    assert time.perf_counter() - start < 1


SPECIAL = st.lists(st.text("ab*?[]\\\\!# \t-^", min_size=1, max_size=4), min_size=1, max_size=3).map("/".join)


@given(SPECIAL, st.lists(SPECIAL))
def test_the_line_for_a_path_hides_it_alone(path: str, others: list[str]) -> None:
    rules = IgnoreRules.parse(line_for(path))
    assert rules.excludes(path)
    assert not any(rules.excludes(other) for other in others if other != path and not other.startswith(f"{path}/"))
