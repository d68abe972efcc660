"""Text for terminals: how wide it is, and what of it must not reach one."""

from __future__ import annotations

from builder.golang.tabwriter import cell_width as cell_width

_REPLACED = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {
    10: "\\n", 13: "\\r", 9: "\\t",
    # Bidirectional controls can make a line read as something else than it is.
    **{code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))},
}


def printable(text: str) -> str:
    """`text` with control characters written as escapes, so that a file or a server cannot steer the terminal."""
    return text.translate(_REPLACED)


def clip(text: str, width: int) -> str:
    """The beginning of `text` that fits into `width` columns."""
    if text.isascii():
        return text[:max(width, 0)]
    used = 0
    for at, character in enumerate(text):
        used += cell_width(character)
        if used > width:
            return text[:at]
    return text
