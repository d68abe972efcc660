"""Where exported bytes go: a file that appears when it is complete, or standard output."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import BinaryIO

from builder.errors import BuilderError
from builder.rooted.named import NewFile

_CHUNK = 1 << 20
_RANGE = 1 << 30


class DestinationRefused(BuilderError):
    code = "destination"

    def __init__(self, path: str, why: str, hint: str | None = None) -> None:
        super().__init__(f"cannot write the result to `{path}`: {why}", hint=hint)


def check_file(dest: str) -> None:
    """Whether a file could be written there, before the work that makes it. Raises DestinationRefused."""
    if os.path.isdir(dest):
        raise DestinationRefused(dest, "it is a directory")
    if dest != "-" and not os.path.isdir(parent := os.path.dirname(os.path.realpath(dest))):
        raise DestinationRefused(dest, f"there is no directory `{parent}`")


def check_folder(dest: str) -> None:
    """Whether a folder could be there, before the work that makes it. Raises DestinationRefused."""
    if os.path.exists(dest) and not os.path.isdir(dest):
        raise DestinationRefused(dest, "it is a file")


class Destination:
    """A context manager around the file `dest` (`-` or "" for standard output).

    A regular file is written beside and renamed at the end, so a failed export leaves the old one. Raises
    DestinationRefused.
    """

    def __init__(self, dest: str) -> None:
        self._dest = dest
        self._new: NewFile | None = None
        self._file: BinaryIO | None = None

    def __enter__(self) -> BinaryIO:
        try:
            self._file = self._open()
        except OSError as error:
            raise DestinationRefused(self._dest, error.strerror or str(error)) from error
        return self._file

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        assert self._file is not None
        if self._new is None:
            self._file.flush()
            return
        try:
            self._file.close()
            if error is None:
                self._new.commit()
        except OSError as failure:  # what was buffered did not fit any more
            if error is None:
                raise DestinationRefused(self._dest, failure.strerror or str(failure)) from failure
        finally:
            self._new.discard()

    def _open(self) -> BinaryIO:
        if self._dest in {"", "-"}:
            if sys.stdout.isatty():
                raise DestinationRefused("-", "standard output is a terminal", hint="add dest=FILE, or redirect it")
            return sys.stdout.buffer
        try:
            self._new = NewFile(self._dest)
        except IsADirectoryError:
            raise DestinationRefused(self._dest, "it is a directory") from None
        return open(self._new.fd, "wb")


def copy_between(source: BinaryIO, target: BinaryIO) -> None:
    """Copies the rest of one file to another, by the kernel where both are real files."""
    target.flush()
    try:
        while os.copy_file_range(source.fileno(), target.fileno(), _RANGE):
            pass
        target.seek(0, os.SEEK_CUR)
    except OSError:
        while chunk := source.read(_CHUNK):
            target.write(chunk)
