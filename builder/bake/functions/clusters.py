"""What people count as characters."""

from __future__ import annotations

_JOINER = "\u200d"


def clusters(text: str) -> list[str]:
    """`text` in pieces: combining marks and joiners belong to what they follow."""
    if text.isascii() and "\r" not in text:
        return list(text)
    import unicodedata

    starts = [position for position, character in enumerate(text) if not position or not (
        unicodedata.combining(character) or character in "\u200d\ufe0f" or text[position - 1] == _JOINER
        or (character == "\n" and text[position - 1] == "\r"))]
    return [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
