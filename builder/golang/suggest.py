"""Names that were probably meant: in hints of ours, and in sentences of BuildKit's, which has a measure of its own."""

from __future__ import annotations

from collections.abc import Iterable


def close_match(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The one of `known` that is most like `name`, case aside; None if none is, or if it is `name` itself."""
    if not name or len(name) > 200:
        return None
    from difflib import get_close_matches

    spelt = {candidate.lower(): candidate for candidate in known}
    close = get_close_matches(name.lower(), list(spelt), n=1, cutoff=cutoff)
    return spelt[close[0]] if close and name not in (close[0], spelt[close[0]]) else None


def did_you_mean(name: str, known: Iterable[str], *, prefix: str = "", as_known: bool = False) -> str | None:
    """A hint with the known name closest to `name`, in upper case if `name` is; None if none is close.

    `as_known` leaves it spelt as it is known: the case of a file's name counts.
    """
    match = close_match(name, known) if len(name) <= 40 else None
    if match is None:
        return None
    return f"did you mean `{prefix}{match if as_known else match.upper() if name.isupper() else match.lower()}`?"


def suggestion(word: str, options: Iterable[str], prefix: str = "") -> str:
    """` (did you mean X?)` as BuildKit's sentences end: the first of the options at most two edits away, or "".

    Nothing when `word` is one of the options: the mistake was not its spelling then.
    """
    nearest, fewest = "", 3
    for option in options:
        if option == word:
            return ""
        if (edits := _edits(word, option)) < fewest:
            nearest, fewest = option, edits
    return f" (did you mean {prefix}{nearest}?)" if nearest else ""


def _edits(a: str, b: str) -> int:
    """Levenshtein's distance; words whose lengths differ by 3 or more are simply far."""
    if abs(len(a) - len(b)) > 2:
        return 3
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]
