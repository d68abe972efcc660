"""path.Clean: a path without `.`, `..` and doubled slashes, by its text alone."""

from __future__ import annotations

import posixpath
from typing import AnyStr


def clean(path: str) -> str:
    """Unlike with Python's normpath, two slashes at the start are one."""
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def clean_absolute(path: str) -> str:
    """As seen from the root, whether it starts with a slash or not; `..` never leads out."""
    return "/" + clean_beneath(path)


def clean_beneath(path: AnyStr) -> AnyStr:
    """As `clean_absolute`, without the slash at its start; empty for the root itself."""
    if isinstance(path, str):
        return posixpath.normpath("/" + path).lstrip("/")
    return posixpath.normpath(b"/" + path).lstrip(b"/")
