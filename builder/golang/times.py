"""Times as Go's encoding/json writes and reads them: RFC 3339."""

from __future__ import annotations

import time

FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799
"""Of the years that such a time can name, 1 to 9999."""


def rfc3339(seconds: float) -> str:
    """Seconds since the epoch in UTC, microseconds without trailing zeros: `2023-07-25T23:43:16.5Z`."""
    whole, fraction = divmod(round(seconds * 1_000_000), 1_000_000)
    moment = time.gmtime(whole)
    text = f"{moment.tm_year:04}{time.strftime('-%m-%dT%H:%M:%S', moment)}"
    return text + (f".{fraction:06}".rstrip("0") if fraction else "") + "Z"


def parse_rfc3339(text: str) -> float | None:
    """Seconds since the epoch, or None for what is no such time."""
    from datetime import datetime

    import msgspec

    try:
        return msgspec.convert(text, datetime).timestamp()
    except (msgspec.ValidationError, OverflowError):
        return None
