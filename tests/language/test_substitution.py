"""`${v/pattern/text}` is what a regular expression that backtracks makes of it, in less time."""

from __future__ import annotations

import random
import re
import time

import pytest

from builder.language.substitution import BadPattern, replaced


@pytest.mark.parametrize("every", [True, False])
def test_matches_are_those_of_a_regular_expression(*, every: bool) -> None:
    choice = random.Random(1)
    matched = 0
    for _ in range(2_000):
        value = "".join(choice.choice("abab\n") for _ in range(choice.randrange(10)))
        letters = choice.choice(("ab*?", "ab*?", "ab**", "a*\n"))
        pattern = "".join(choice.choice(letters) for _ in range(choice.randrange(1, 6)))
        *lazy, last = [re.escape(part).replace("\\?", ".") for part in pattern.split("*")]
        # the last run is the longest, all others the shortest
        naive = re.compile(".*?".join(lazy) + (".*" if lazy else "") + last)
        spans = [match.span() for match in naive.finditer(value)]
        kept = [span for at, span in enumerate(spans) if span[0] < span[1] or not at or spans[at - 1][1] != span[0]]
        expected, end = "", 0
        for start, stop in kept if every else spans[:1]:
            expected, end = f"{expected}{value[end:start]}<x>", stop
        assert replaced(value, pattern, "<x>", every=every, limit=1 << 20) == expected + value[end:], (value, pattern)
        matched += bool(spans)
    assert matched > 500


def test_what_would_take_long_is_refused() -> None:
    for pattern in ("a?" + "a" * 1_000 + "b", "*a\nb"):
        with pytest.raises(BadPattern, match="looked for in"):
            replaced("a" * (1 << 20), pattern, "x", every=True, limit=1 << 20)


def test_a_template_of_references_is_read_once() -> None:
    start = time.monotonic()
    assert replaced("a" * 200_000, "a", "$1" * 200_000, every=True, limit=1 << 20) == ""
    assert replaced("aba", "b", "<$0$0$1${0}$$x>", every=True, limit=99) == "a<bbb$x>a"
    assert time.monotonic() - start < 10
