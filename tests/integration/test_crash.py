"""Builds that are killed at any moment: the next one succeeds, nothing is mounted, nothing is corrupt."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
import uuid
from pathlib import Path

import pytest

from tests.integration.conftest import Command

pytestmark = pytest.mark.root

KILLS = 50
DOCKERFILE = """\
FROM base AS a
COPY . /in/
RUN cp -r /in /out && echo {n} > /out/n && sleep 0.05
RUN rm -r /in && echo {n} > /again
FROM base
COPY --from=a /out /out
RUN --mount=type=cache,target=/cache echo {n} >> /cache/log
"""


def test_kill_9_at_any_moment(builder: Command) -> None:
    chance = random.Random(1)
    for name in range(60):
        (builder.context / f"file{name}").write_bytes(os.urandom(2000))
    assert builder.build(DOCKERFILE.format(n="first"), "-t", "x").returncode == 0
    started = time.monotonic()
    assert builder.build(DOCKERFILE.format(n="second"), "-t", "x").returncode == 0
    whole = time.monotonic() - started
    for attempt in range(KILLS):
        argv = builder.argv(*builder.build_args(DOCKERFILE.format(n=attempt), "-t", f"x:{attempt}"),
                            str(builder.context))
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        time.sleep(chance.uniform(0, whole))
        process.send_signal(signal.SIGKILL)
        process.wait()
    last = builder.build(DOCKERFILE.format(n=KILLS - 1), "-t", "x")
    assert last.returncode == 0, last.stderr
    checked = builder.run("fsck")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    with open("/proc/self/mountinfo") as mounts:
        assert str(builder.root) not in mounts.read()


def test_interrupted_build_ends_its_steps(builder: Command) -> None:
    mark = f"4242.{uuid.uuid4().int}"  # no other process of this machine sleeps as long
    argv = builder.argv(*builder.build_args(f"FROM base\nRUN echo started && sleep {mark}\n"), str(builder.context))
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                          preexec_fn=_hear_interrupts) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.rstrip().endswith(" started"):
                break
        assert _processes_with(mark)
        process.send_signal(signal.SIGINT)
        process.stderr.read()
        assert process.wait(20) == 130
    assert _processes_with(mark) == []


def _processes_with(word: str) -> list[str]:
    """The numbers of the processes that have `word` in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if word.encode() in path.read_bytes():
                found.append(path.parent.name)
    return found


def _hear_interrupts() -> None:
    """What a shell starts in the background ignores SIGINT, and so do its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
