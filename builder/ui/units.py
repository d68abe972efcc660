"""Sizes and durations as docker prints them (docker/go-units, tonistiigi/units)."""

from __future__ import annotations

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def human_size(size: float, digits: int = 4) -> str:
    """`size` bytes in decimal units with at most `digits` significant digits: `264MB`, `4.1kB`."""
    unit = 0
    while size >= 1000 and unit < len(_DECIMAL) - 1:
        size /= 1000
        unit += 1
    return f"{size:.{digits}g}{_DECIMAL[unit]}"


def progress_size(size: int) -> str:
    """`size` bytes as progress lines show it: whole bytes below 1000, else two decimals (`1.23kB`)."""
    if abs(size) < 1000:
        return f"{size}B"
    value, unit = float(size), 0
    while abs(value) >= 1000 and unit < len(_DECIMAL) - 1:
        value /= 1000
        unit += 1
    return f"{value:.2f}{_DECIMAL[unit]}"


def human_duration(seconds: float) -> str:
    """A rough duration: `2 seconds`, `About an hour`, `3 weeks`."""
    whole, minutes, hours = int(seconds), int(seconds / 60), int(seconds / 3600 + 0.5)
    if whole < 60:
        return "Less than a second" if whole < 1 else "1 second" if whole == 1 else f"{whole} seconds"
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{int(seconds / 3600) // 24 // 365} years"
