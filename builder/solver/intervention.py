"""What a person may do about a step that failed: look at it from inside, and say how the build goes on.

The solver asks while the step's container can still be entered: its files as the process left them, its mounts open.
The answers come from a terminal or were given beforehand; the solver knows neither.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable
from typing import BinaryIO, TypeAlias

import msgspec

from builder.errors import RunFailed
from builder.sandbox.container import Exit, Output

Enter: TypeAlias = Callable[[tuple[str, ...], bool, Output, BinaryIO | None], Exit]
"""Runs a command in the step's container: command, whether it gets a terminal, output, input. Its changes stay."""


class Decision(enum.StrEnum):
    STOP = "stop"
    """The build fails."""
    RETRY = "retry"
    """The step runs again, on a fresh file system."""
    CONTINUE = "continue"
    """The step counts as done with the files as they are now. Such a result never gets into the cache."""


class FailedStep(msgspec.Struct, frozen=True, kw_only=True):
    vertex: int
    name: str
    error: RunFailed
    enter: Enter
    shell: str
    """A shell that can be entered, as a path in the container; "" if there is none."""
    cancelled: threading.Event
    """Set when the build ends for another reason; a prompt that waits for a person polls it."""


Intervene: TypeAlias = Callable[[FailedStep], Decision]
"""Called from the step's thread, so for several steps at the same time; must serialise what it shows."""
