"""Keeping secrets out of what a step prints.

Steps print secrets by accident (`set -x`, a tool's debug output), whole, a line of several, encoded for a URL or in
base64. Every such form is replaced by `***`. This guards against accidents, not against a step that wants to leak.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = b"***"
_SHORTEST = 4
"""Bytes: shorter values would black out half of a log and protect nothing."""
_SHORTEST_PART = 8
"""The same for a line of a secret, and for its base64 in the middle of other text."""


class Redactor:
    """The output of one step, stream by stream; bytes that may be the beginning of a secret wait for more."""

    def __init__(self, secrets: Iterable[bytes]) -> None:
        forms = {form for secret in secrets for form in forms_of(secret)}
        ordered = sorted(forms, key=lambda form: (-len(form), form))
        self._pattern = re.compile(b"|".join(map(re.escape, ordered))) if ordered else None
        self._starts = {form[:length] for form in forms for length in range(1, len(form))}
        self._longest = max(map(len, forms), default=0)
        self._waiting: dict[int, bytes] = {}

    def feed(self, stream: int, data: bytes) -> bytes:
        """What can be shown by now."""
        if self._pattern is None:
            return data
        text = self._waiting.pop(stream, b"") + data
        kept = self._undecided(text)
        if kept:
            self._waiting[stream] = text[len(text) - kept:]
        return self._pattern.sub(MASK, text[:len(text) - kept])

    def rest(self) -> list[tuple[int, bytes]]:
        """What was still waiting, by stream, at the end."""
        waiting, self._waiting = self._waiting, {}
        return [(stream, self._pattern.sub(MASK, text) if self._pattern else text) for stream, text in waiting.items()]

    def _undecided(self, text: bytes) -> int:
        """How many bytes at the end may be the beginning of a secret, beyond all whole ones."""
        assert self._pattern is not None
        done = 0
        for match in self._pattern.finditer(text):
            done = match.end()
        for length in range(min(self._longest - 1, len(text) - done), 0, -1):
            if text[-length:] in self._starts:
                return length
        return 0


def forms_of(secret: bytes) -> set[bytes]:
    """How a secret may show in output; empty for one that is too short to be told from other text."""
    value = secret.strip()
    if len(value) < _SHORTEST:
        return set()
    from urllib.parse import quote_from_bytes

    lines = value.splitlines()
    forms = {value, *(line.strip() for line in lines if len(line.strip()) >= _SHORTEST_PART)}
    forms |= {quote_from_bytes(value, safe="").encode(), quote_from_bytes(value).encode()}
    return forms | set(_base64_forms(value)) | (set(_base64_forms(secret)) if secret != value else set())


def _base64_forms(value: bytes) -> Iterable[bytes]:
    """The characters that stand for `value` wherever it begins, as in base64 of `user:secret`."""
    from base64 import b64encode

    for before in range(3):
        encoded = b64encode(bytes(before) + value).rstrip(b"=")
        # The characters at both ends also depend on the neighbours.
        first = (before * 8 + 5) // 6
        last = (before + len(value)) * 8 // 6
        form = encoded[first:last]
        if len(form) >= _SHORTEST_PART:
            yield form
            if b"+" in form or b"/" in form:
                yield form.translate(bytes.maketrans(b"+/", b"-_"))
