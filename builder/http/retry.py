"""Further attempts, and the pauses before them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from builder.http.failures import Temporary

TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses that may pass."""

T = TypeVar("T")


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    retries: int = 4
    """Further attempts after a failure that may pass."""
    delay: float = 0.5
    """Seconds before the first of them, a quarter more or less; doubled each time."""
    max_wait: float = 60.0
    """Longest wait, in seconds, that a Retry-After may ask for."""

    def call(self, attempt: Callable[[], T]) -> T:
        """What the first attempt that succeeds returns. Raises what the last one raised.

        An error that is not Temporary, not transient, or whose server asks for too long a wait is the last.
        """
        import random

        for number in range(self.retries):
            try:
                return attempt()
            except Temporary as error:
                if not error.transient or (error.retry_after or 0) > self.max_wait:
                    raise
                wait = error.retry_after
            time.sleep(self.delay * 2**number * random.uniform(0.75, 1.25) if wait is None else wait)
        return attempt()


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait (RFC 9110, section 10.2.3: a number or a date)."""
    from email.utils import parsedate_to_datetime

    value = headers.get("retry-after")
    if value is None:
        return None
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError, TypeError):
        return None
