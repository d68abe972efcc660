"""Hints for names that were probably misspelt."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], *, prefix: str = "") -> str | None:
    """A hint with the known name closest to `name`, in upper case if `name` is; None if none is close."""
    if not name or len(name) > 40:
        return None
    from difflib import get_close_matches

    close = get_close_matches(name.lower(), [candidate.lower() for candidate in known], n=1, cutoff=0.6)
    if not close or close[0] == name:
        return None
    match = close[0].upper() if name.isupper() else close[0]
    return f"did you mean `{prefix}{match}`?"
