"""Text for terminals: how wide it is, and what of it must not reach one."""

from __future__ import annotations

_REPLACED = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {
    10: "\\n", 13: "\\r", 9: "\\t",
    # Bidirectional controls can make a line read as something else than it is.
    **{code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))},
}


_STEERING = (r"\x1b\[[0-9;:]*m|\r(?=\n)"
             r"|([\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069])")
"""Colours and line ends, which `visible` keeps; then all that it writes as escapes."""


def visible(text: str) -> str:
    """`text` for a terminal: it may have lines, tabs and colours; what else would steer the terminal is escaped.

    Steps and images decide what is in their output and names; with cursor movements, window titles (OSC 0) or the
    clipboard (OSC 52) they would reach beyond the lines that are theirs.
    """
    if text.isprintable():
        return text
    import re

    return re.sub(_STEERING, lambda found: found[1].translate(_REPLACED) if found[1] else found[0], text)


def printable(text: str) -> str:
    """`text` with control characters written as escapes, so that a file or a server cannot steer the terminal."""
    return text.translate(_REPLACED)


def clip(text: str, width: int) -> str:
    """The beginning of `text` that fits into `width` columns."""
    if text.isascii():
        return text[:max(width, 0)]
    from builder.golang.tabwriter import cell_width

    used = 0
    for at, character in enumerate(text):
        used += cell_width(character)
        if used > width:
            return text[:at]
    return text
