"""Colours, chosen by the environment: NO_COLOR, and BUILDKIT_COLORS (`run=green:error=255,0,0`)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

_NAMES = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_CODES = {name: str(30 + n) for n, name in enumerate(_NAMES)}
_CODES |= {f"light-{name}": str(90 + n) for n, name in enumerate(_NAMES)}
_CODES["default"] = "39"


class Palette(msgspec.Struct, frozen=True):
    """SGR parameters by role; "" leaves the text as it is."""

    run: str = ""
    cancel: str = ""
    error: str = ""
    warning: str = ""
    faint: str = ""
    strong: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Palette:
        """The colours for a terminal. Entries of BUILDKIT_COLORS that make no sense are left out."""
        if environment.get("NO_COLOR"):
            return cls()
        roles = {"run": "34", "cancel": "33", "error": "31", "warning": "33"}
        for entry in environment.get("BUILDKIT_COLORS", "").split(":"):
            role, _, value = entry.lower().partition("=")
            if role in roles and (code := _code_of(value)):
                roles[role] = code
        return cls(**roles, faint="2", strong="1")


def paint(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if code else text


def _code_of(value: str) -> str:
    if value in _CODES:
        return _CODES[value]
    parts = value.split(",")
    if len(parts) == 3 and all(part.isdecimal() and part.isascii() and int(part) < 256 for part in parts):
        red, green, blue = (int(part) * 5 // 255 for part in parts)
        return f"38;5;{16 + 36 * red + 6 * green + blue}"
    return ""
