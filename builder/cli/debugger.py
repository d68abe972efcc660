"""`builder build --on-error=debug`: what happens when a RUN fails, before the build ends because of it.

On a terminal a person gets a shell in the step's container, as the step left it, and says afterwards how to go on.
Without a terminal `--debug-run` says what to run there and `--debug-then` how to go on.
"""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import sys
import threading
from typing import BinaryIO

import msgspec

from builder.cli.pflag import Values
from builder.cli.terminal import raw_terminal
from builder.errors import InvalidValue, SandboxError, UsageError
from builder.solver.intervention import Decision, FailedStep
from builder.ui.progress import Progress
from builder.ui.text import printable

_TERMINAL = "/dev/tty"
_PATIENCE = 0.2
"""Seconds between looks whether the build was cancelled, while a person thinks."""
_QUESTION = "What now? [r]etry the step, [c]ontinue with the files as they are, [d]ebug again, [s]top? "
_QUESTION_OUTSIDE = "What now? [r]etry the step, [c]ontinue with the files as they are, [s]top? "
_ANSWERS = {"r": Decision.RETRY, "c": Decision.CONTINUE, "s": Decision.STOP}


class DebugPlan(msgspec.Struct, frozen=True):
    """What to do about failures, as the command line said it."""

    command: str = ""
    """For the step's /bin/sh; "" opens a shell on the terminal."""
    then: Decision | None = None
    """None asks."""


class NoTerminal(UsageError):
    code = "no-terminal"

    def __init__(self) -> None:
        super().__init__("`--on-error=debug` needs a terminal",
                         hint="or say what to run with --debug-run, and how to go on with --debug-then")


def debug_plan(flags: Values) -> DebugPlan | None:
    """None when failures just end the build. Raises UsageError, also where there is no terminal and one is needed."""
    mode = flags.text("on-error", "stop")
    if mode not in ("stop", "debug"):
        raise InvalidValue(f"`{mode}` of --on-error", hint="use stop or debug")
    text = flags.text("debug-then")
    if text and text not in [decision.value for decision in Decision]:
        raise InvalidValue(f"`{text}` of --debug-then", hint="valid answers: retry, continue, stop")
    if mode == "stop":
        if text or flags.given("debug-run"):
            raise UsageError("--debug-run and --debug-then go with --on-error=debug")
        return None
    command = flags.text("debug-run")
    then = Decision(text) if text else None
    if not command and not _has_terminal():
        raise NoTerminal
    return DebugPlan(command, then or (Decision.STOP if command else None))


def _has_terminal() -> bool:
    """Whether this process has a controlling terminal; only opening it tells."""
    try:
        os.close(os.open(_TERMINAL, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


class Debugger:
    """An `Intervene`. One failure at a time; the progress view is silent meanwhile."""

    def __init__(self, plan: DebugPlan, progress: Progress) -> None:
        self._plan = plan
        self._progress = progress
        self._lock = threading.Lock()
        self._retried: set[int] = set()

    def __call__(self, failed: FailedStep) -> Decision:
        with self._lock:
            if failed.cancelled.is_set():
                return Decision.STOP
            self._progress.pause()
            try:
                return self._prepared(failed) if self._plan.command else self._asked(failed)
            except SandboxError as error:
                print(f"builder: {printable(error.message)}", file=sys.stderr)
                return Decision.STOP
            finally:
                self._progress.resume()

    def _prepared(self, failed: FailedStep) -> Decision:
        failed.enter(("/bin/sh", "-c", self._plan.command), False, _to_stderr, None)
        then = self._plan.then or Decision.STOP
        if then is Decision.RETRY:
            if failed.vertex in self._retried:
                return Decision.STOP  # the same again would go on for ever
            self._retried.add(failed.vertex)
        return then

    def _asked(self, failed: FailedStep) -> Decision:
        with open(_TERMINAL, "r+b", buffering=0) as terminal:
            _say(terminal, "", f"step @{failed.vertex} failed: {printable(failed.name)}",
                 *(f"  {printable(line)}" for line in failed.error.output[-10:]),
                 f"  exit status {failed.error.status}")
            while True:
                self._open_shell(failed, terminal)
                if self._plan.then is not None:
                    return self._plan.then
                answer = _ask(terminal, _QUESTION if failed.shell else _QUESTION_OUTSIDE, failed.cancelled)
                if answer is not None:
                    return answer

    def _open_shell(self, failed: FailedStep, terminal: BinaryIO) -> None:
        if not failed.shell:
            _say(terminal, "Its image has no shell, so it cannot be entered.")
            return
        _say(terminal, "A shell in its container, with the files as it left them. Leave it with `exit`.")
        term = shlex.quote(os.environ.get("TERM", "dumb"))
        with raw_terminal(fd=terminal.fileno()):
            failed.enter((failed.shell, "-c", f"export TERM={term}; exec {failed.shell}"), True,
                         lambda stream, data: _write(terminal, data), terminal)


def _ask(terminal: BinaryIO, question: str, cancelled: threading.Event) -> Decision | None:
    """The answer; None to open the shell again, STOP also at the end of input or when the build is over."""
    while True:
        _write(terminal, question.encode())
        while not select.select([terminal], [], [], _PATIENCE)[0]:
            if cancelled.is_set():
                return Decision.STOP
        line = terminal.readline()
        if not line:
            return Decision.STOP
        word = line.decode("utf-8", "replace").strip().lower()[:1]
        if word == "d":
            return None
        if word in _ANSWERS:
            return _ANSWERS[word]


def _say(terminal: BinaryIO, *lines: str) -> None:
    _write(terminal, "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace"))


def _write(terminal: BinaryIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[terminal.write(left) or 0:]


def _to_stderr(stream: int, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stderr.buffer.write(data)
        sys.stderr.buffer.flush()
