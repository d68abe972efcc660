"""Where the views write: a stream that somebody may stop reading."""

from __future__ import annotations

from typing import TextIO

from builder.ui.text import visible


class Output:
    """A stream that may fail or lose its reader: from then on, nothing more is written and the build goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream
        self._on_terminal = stream.isatty()
        errors = getattr(stream, "errors", None)
        if errors == "strict" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> None:
        """Text that steps and images may have part in: on a terminal it cannot be more than text."""
        self._write(visible(text) if self._on_terminal else text)

    def control(self, text: str) -> None:
        """Text of ours, with control sequences."""
        self._write(text, control=True)

    def _write(self, text: str, *, control: bool = False) -> None:
        if self._stream is None or not text:
            return
        try:
            (getattr(self._stream, "control", self._stream.write) if control else self._stream.write)(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._stream = None
