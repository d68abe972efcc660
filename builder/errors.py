"""The error tree.

    BuilderError
    ├── UsageError          a flag or argument is wrong                           exit 2
    ├── DockerfileError     the text of a Dockerfile is wrong (parse or meaning)
    ├── ContextError        the build context or a file in it
    ├── ImageError          an image, reference, archive or layout
    ├── RegistryError       a registry's answer, or none
    ├── StoreError          the state folder: format, space, damage
    ├── SandboxError        a container could not be set up
    ├── RunFailed           a step's process ended with a status other than 0
    └── Cancelled           the user interrupted

Rooms subclass a family beside the code that raises; each class takes facts and owns its sentence. A message starts
in lower case, has no final period, and puts backticks round what the user wrote. Only `cli/diagnostics.py` renders
errors; the library never prints and never exits. What is not a BuilderError is a bug.
"""

from __future__ import annotations

from typing import ClassVar

from builder.source import Location


class BuilderError(Exception):
    """A failure to tell a person about: what is wrong, where, why, and one thing to do."""

    code: ClassVar[str] = "error"
    """Stable kebab-case name, printed as `error[code]` and part of the JSON output."""
    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        location: Location | None = None,
        cause: str | None = None,
        notes: tuple[str, ...] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.location = location
        self.cause = cause
        self.notes = notes
        self.hint = hint

    def at(self, location: Location | None) -> BuilderError:
        """This error with a place, kept if it already has one; for `raise error.at(location)`."""
        if self.location is None:
            self.location = location
        return self


class UsageError(BuilderError):
    code = "usage"


class InvalidValue(UsageError):
    """An option's value is not in its notation."""

    code = "invalid-value"


class DockerfileError(BuilderError):
    code = "dockerfile"


class DockerfileErrors(DockerfileError):
    """Several independent mistakes of one file, in order of their place; `errors` holds at least one."""

    code = "dockerfile"

    def __init__(self, errors: tuple[DockerfileError, ...]) -> None:
        first = errors[0]
        super().__init__(first.message, location=first.location, notes=first.notes, hint=first.hint)
        self.errors = errors


class ContextError(BuilderError):
    code = "context"


class ImageError(BuilderError):
    code = "image"


class RegistryError(BuilderError):
    code = "registry"


class StoreError(BuilderError):
    code = "store"


class SandboxError(BuilderError):
    code = "sandbox"


class RunFailed(BuilderError):
    """A step's process failed; `status` is its exit status (128 + n when signal n ended it)."""

    code = "run-failed"

    def __init__(self, command: str, status: int, *, output: tuple[str, ...] = (), location: Location | None = None,
                 notes: tuple[str, ...] = ()) -> None:
        from builder.golang.quote import quote  # only for the command that fails

        # BuildKit's sentence to the letter, for people search logs for it.
        super().__init__(f"process {quote(command)} did not complete successfully: exit code: {status}",
                         location=location, notes=notes)
        self.command = command
        self.status = status
        self.output = output
        """The last lines that the process printed."""


class Cancelled(BuilderError):
    code = "cancelled"
    exit_code = 130
