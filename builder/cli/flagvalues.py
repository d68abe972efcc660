"""Values of flags in docker's notations, and docker's complaints about them."""

from __future__ import annotations

import os
from collections.abc import Iterable

from builder.errors import InvalidValue


def key_values(items: Iterable[str], *, from_environment: bool = False) -> dict[str, str]:
    """`key=value` items; a bare `key` is taken from the environment (and left out if unset there), or empty."""
    found: dict[str, str] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not key:
            raise InvalidValue(f'invalid key-value pair "{item}": empty key')
        if equals or not from_environment:
            found[key] = value
        elif key in os.environ:
            found[key] = os.environ[key]
    return found


def lines_of(path: str, flag: str) -> list[str]:
    """The lines of a `key=value` file without comments and empty ones."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.strip() for line in file]
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InvalidValue(f"cannot read `{path}` of --{flag}", cause=why) from error
    return [line for line in lines if line and not line.startswith("#")]


def image_name(text: str) -> str:
    """A name that an image can be given, as it was given. Raises InvalidValue."""
    from builder.reference import InvalidReference, Reference

    try:
        Reference.parse_tag(text)
    except InvalidReference as error:
        raise InvalidValue(f'invalid tag "{text}": {error.message.rpartition(": ")[2]}') from error
    return text
