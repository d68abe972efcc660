"""What is tried again, how often, and when."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from builder.http.failures import Broken, Temporary
from builder.http.retry import Retry, retry_after

QUICK = Retry(retries=2, delay=0.001, max_wait=1)


class Busy(Temporary):
    def __init__(self, retry_after: float) -> None:
        self.retry_after = retry_after


def attempts(*failures: Exception) -> int:
    """How many attempts it takes where the first ones fail so. Raises what the last one raised."""
    left, made = list(failures), 0

    def attempt() -> int:
        nonlocal made
        made += 1
        if left:
            raise left.pop(0)
        return made

    try:
        return QUICK.call(attempt)
    except Exception as error:
        error.add_note(f"attempts: {made}")
        raise


def test_what_may_pass_is_tried_again() -> None:
    assert attempts() == 1
    assert attempts(Broken("x"), Busy(0)) == 3


@pytest.mark.parametrize(("failures", "made"), [
    ([Broken("x")] * 3, 3),
    ([Broken("x", transient=False)], 1),
    ([Busy(0), Busy(2)], 2),
    ([ValueError("not temporary")], 1),
], ids=["too often", "not transient", "too long a wait", "another error"])
def test_the_last_failure_is_raised(failures: list[Exception], made: int) -> None:
    with pytest.raises(type(failures[-1])) as failure:
        attempts(*failures)
    assert failure.value is failures[-1]
    assert failure.value.__notes__[-1] == f"attempts: {made}"


def test_the_pauses_grow() -> None:
    begin = time.monotonic()
    with pytest.raises(Broken):
        Retry(retries=2, delay=0.1).call(lambda: attempts(*[Broken("x")] * 3))
    assert time.monotonic() - begin > 0.75 * (0.1 + 0.2)


@pytest.mark.parametrize(("value", "seconds"), [
    ("0", 0), ("120", 120), ("-1", None), ("soon", None), ("", None), ("Tue, 14 Nov 2023 22:13:20 GMT", 0),
])
def test_a_server_asks_for_a_wait(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}) == seconds
    assert retry_after({}) is None


def test_a_server_asks_for_a_wait_until_a_time() -> None:
    asked = retry_after({"retry-after": formatdate(time.time() + 100, usegmt=True)})
    assert asked == pytest.approx(99.5, abs=2)
