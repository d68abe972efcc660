from __future__ import annotations

import os
import pty
import re
import struct
import subprocess
import sys
import termios
from fcntl import ioctl
from pathlib import Path

import pytest

from builder.golang.tabwriter import cell_width
from builder.solver import events
from builder.ui.buildstate import Trace
from builder.ui.colors import Palette
from builder.ui.tty import frame

START = 1000.0
EVENTS: list[events.AnyEvent] = [
    events.VertexNamed(time=START, vertex=0, name="[1/4] FROM docker.io/library/debian:bookworm"),
    events.VertexNamed(time=START, vertex=1, name="[2/4] COPY . /src"),
    events.VertexNamed(time=START, vertex=2, name="[3/4] RUN make \t -j4"),
    events.VertexNamed(time=START, vertex=3, name="[test 2/2] RUN pytest"),
    events.VertexNamed(time=START, vertex=4, name="[4/4] RUN make install"),
    events.VertexNamed(time=START, vertex=5, name="[docs 2/2] RUN sphinx"),
    events.VertexStarted(time=START, vertex=0),
    events.VertexProgress(time=START, vertex=0, item="sha256:abc", current=0, total=48_500_000),
    events.VertexProgress(time=START + 1.5, vertex=0, item="sha256:abc", current=48_500_000, total=48_500_000,
                          done=True),
    events.VertexDone(time=START + 2, vertex=0),
    events.VertexCached(time=START + 2, vertex=1),
    events.VertexStarted(time=START + 2, vertex=2, why="1 file changed: src/a.py"),
    events.VertexStarted(time=START + 2.5, vertex=3),
    events.VertexLog(time=START + 3, vertex=2, stream=1, data=b"cc a.c\n\x1b[31mcc\x1b[0m b.c\n 10%\r 20%\r"),
    events.VertexFailed(time=START + 3.5, vertex=3, error="exit code: 1"),
    events.VertexStarted(time=START + 3.5, vertex=5),
    events.VertexCancelled(time=START + 3.5, vertex=5),
]


def trace_of(given: list[events.AnyEvent]) -> Trace:
    trace = Trace()
    for event in given:
        trace.apply(event)
    return trace


def test_a_frame() -> None:
    assert frame(trace_of(EVENTS), START + 14.26, (80, 24), Palette(), title="builder:runc") == [
        "[+] Building 14.3s (4/6)                                           builder:runc",
        " => [1/4] FROM docker.io/library/debian:bookworm                            2.0s",
        " => => sha256:abc 48.50MB / 48.50MB                                         1.5s",
        " => CACHED [2/4] COPY . /src                                                0.0s",
        " => [3/4] RUN make   -j4                                                   12.3s",
        " => => miss: 1 file changed: src/a.py",
        " => => # cc a.c",
        " => => # cc b.c",
        " => => #  20%",
        " => ERROR [test 2/2] RUN pytest                                             1.0s",
        " => CANCELED [docs 2/2] RUN sphinx                                          0.0s",
    ]


def test_the_last_frame_has_no_tails_and_says_finished() -> None:
    ends = events.VertexDone(time=START + 20, vertex=2), events.VertexCached(time=START + 20, vertex=4)
    lines = frame(trace_of([*EVENTS, *ends]), START + 20, (80, 5), Palette(), final=True)
    assert lines[0] == "[+] Building 20.0s (6/6) FINISHED"
    assert not any("# " in line for line in lines)
    assert len(lines) == 9


def test_colours_by_outcome() -> None:
    lines = frame(trace_of(EVENTS), START + 4, (80, 24), Palette.from_environment({"BUILDKIT_COLORS": "run=green:x=1"}))
    assert [line[:5] for line in lines if "\x1b" in line] == [
        "\x1b[32m", "\x1b[32m", "\x1b[32m", "\x1b[2m ", "\x1b[2m ", "\x1b[2m ", "\x1b[2m ", "\x1b[31m", "\x1b[33m"]


@pytest.mark.parametrize("width", [1, 10, 20, 30, 41, 80, 200])
@pytest.mark.parametrize("height", [1, 3, 6, 9, 50])
def test_fits_any_terminal(width: int, height: int) -> None:
    given = [*EVENTS, events.VertexNamed(time=START, vertex=7, name="RUN 构建 日本語 " * 9),
             events.VertexStarted(time=START + 3, vertex=7)]
    lines = frame(trace_of(given), START + 4, (width, height), Palette())
    assert all(cell_width(line) <= width for line in lines)
    assert len(lines) <= max(height - 1, 1)
    if height >= 6 and width >= 41:
        assert any("RUN make" in line for line in lines), "a running step is never hidden before finished ones"


def test_live_on_a_real_terminal(tmp_path: Path) -> None:
    """The view repaints in place, leaves the cursor visible and prints the failed step's whole log at the end."""
    script = tmp_path / "live.py"
    script.write_text(
        "import sys, time\nfrom tests.ui.test_tty import EVENTS\nfrom builder.ui.progress import open_progress\n"
        "view = open_progress('auto', runtime='builtin')\nassert view.kind == 'tty'\n"
        "for event in EVENTS:\n    view.handle(event)\n"
        "time.sleep(0.35)\nview.close()\nview.close()\n")
    output = run_on_terminal([sys.executable, str(script)], rows=24, columns=100)
    assert output.count("\x1b[?25l") >= 2
    assert re.search(r"\x1b\[\d+A\r\[\+\] Building", output), "later frames are drawn over the earlier ones"
    assert output.endswith("------\r\n > [test 2/2] RUN pytest:\r\n------\r\n\x1b[?25h")


def run_on_terminal(command: list[str], *, rows: int, columns: int) -> str:
    root = str(Path(__file__).parents[2])
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = {"PYTHONPATH": root, "PATH": os.environ["PATH"], "TERM": "xterm"}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=root) as process:
        os.close(theirs)
        output = b""
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:  # EIO: the other side is closed
                break
            if not data:
                break
            output += data
    os.close(ours)
    assert process.returncode == 0, output.decode()
    return output.decode()
