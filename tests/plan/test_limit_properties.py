"""Random texts that grow (see limit_fuzz.py) end soon, in little memory, with a result or an error with a place."""

from __future__ import annotations

import time

import pytest

from tests.plan.limit_fuzz import attempt, check

SECONDS = 5


@pytest.mark.parametrize("first", [0, 10_000])
def test_texts_that_grow_end_in_a_result_or_an_error_with_a_place(first: int) -> None:
    end, seed = time.monotonic() + SECONDS, first
    while time.monotonic() < end or seed < first + 4:
        ended, took = check(seed)
        assert ended in ("result", "error"), f"seed {seed}, {took:.1f} s: {ended}"
        seed += 1


def test_what_ends_otherwise_is_noticed() -> None:
    assert "MemoryError" in attempt(lambda: bytes(3 << 30))
    assert attempt(lambda: time.sleep(10), seconds=1) == "it takes more than 1 s"
    assert "ZeroDivisionError" in attempt(lambda: 1 // 0)
