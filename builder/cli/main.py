"""The `builder` command: finds the command, and turns whatever ends it into messages and an exit status.

Exit statuses are docker's: 0 done, 1 failed, 125 wrong flags, 128 + n ended by signal n (130 for Ctrl-C); `builder run`
gives its process' own, or 125. Standard output carries only what was asked for (a digest, a table); everything else is
on standard error.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from builder.cli.streams import discard_output, open_streams
from builder.version import __version__


def run() -> int:
    """`main` as all that the process is for: afterwards it ends at once.

    Taking the interpreter apart, object by object, costs a tenth of a no-op build, and the kernel takes all of it back
    anyway. Threads are waited for as ever, and where output cannot be written, the interpreter says so.
    """
    import threading

    status = main()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):
        return status
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.main_thread():
            thread.join()
    os._exit(status)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit status. Never raises for what a user can cause."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    open_streams()
    if words in (["--version"], ["-v"]):
        print(f"builder version {__version__}")
        return 0
    if "_BUILDER_COMPLETE" in os.environ:
        from builder.cli.shells import complete

        return complete(os.environ["_BUILDER_COMPLETE"])
    gc.set_threshold(100_000)  # of what starting up makes nothing is garbage: looking for it costs a tenth of a no-op
    interruption = _Interruption()
    try:
        status = _dispatch(words)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        discard_output()
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        print("builder: interrupted", file=sys.stderr)
        return 128 + interruption.signal
    except Exception as error:
        from builder.cli.diagnostics import report

        status = report(error, debug="--debug" in words or "-D" in words)
        return 128 + interruption.signal if status == 130 else status


def _dispatch(words: list[str]) -> int:
    from builder.cli.group import Group

    group = Group()
    with group.make_context("builder", words) as ctx:
        status: int = group.invoke(ctx)
    return status


class _Interruption:
    """The first SIGINT, SIGTERM or SIGHUP raises KeyboardInterrupt in the main thread, so that steps are ended and
    what they had begun is removed; a second one ends the process at once."""

    def __init__(self) -> None:
        self.signal = signal.SIGINT
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt
