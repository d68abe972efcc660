"""Hints for names that were probably misspelt."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], *, prefix: str = "", as_known: bool = False) -> str | None:
    """A hint with the known name closest to `name`, in upper case if `name` is; None if none is close.

    `as_known` leaves it spelt as it is known: the case of a file's name counts.
    """
    if not name or len(name) > 40:
        return None
    from difflib import get_close_matches

    spelt = {candidate.lower(): candidate for candidate in known}
    close = get_close_matches(name.lower(), list(spelt), n=1, cutoff=0.6)
    if not close or close[0] == name or spelt[close[0]] == name:
        return None
    match = spelt[close[0]] if as_known else close[0].upper() if name.isupper() else close[0]
    return f"did you mean `{prefix}{match}`?"
