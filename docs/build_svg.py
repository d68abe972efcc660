"""Draws docs/build.svg, a frame of the live view as the code draws it: python docs/build_svg.py > docs/build.svg"""

from __future__ import annotations

import html
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from builder.solver.events import (
    AnyEvent,
    VertexCached,
    VertexDone,
    VertexLog,
    VertexNamed,
    VertexProgress,
    VertexStarted,
)
from builder.ui.buildstate import Trace
from builder.ui.colors import Palette
from builder.ui.tty import frame

COLUMNS, CHARACTER, LINE, MARGIN = 96, 8.4, 19, 14
COLORS = {"34": "#79b8ff", "2": "#8b949e", "": "#e6edf3"}
STEPS = (
    "[internal] load build definition from Dockerfile",
    "[internal] load metadata for docker.io/library/debian:bookworm",
    "[build 1/4] FROM docker.io/library/debian:bookworm",
    "[build 2/4] RUN apt-get update && apt-get install -y gcc make",
    "[build 3/4] COPY src /src",
    "[build 4/4] RUN make -C /src -j4",
    "[stage-1 2/3] RUN useradd app",
    "[stage-1 3/3] COPY --from=build /src/app /usr/local/bin/",
)


def events() -> list[AnyEvent]:
    """A rebuild after one source file was changed."""
    told: list[AnyEvent] = [VertexNamed(time=0.0, vertex=number, name=name) for number, name in enumerate(STEPS)]
    for number in (0, 1):
        told += [VertexStarted(time=0.0, vertex=number), VertexDone(time=0.0, vertex=number)]
    told += [VertexCached(time=0.01, vertex=number) for number in (2, 3, 6)]
    told += [
        VertexStarted(time=0.02, vertex=4, why="1 file changed: src/main.c"),
        VertexProgress(time=0.02, vertex=4, item="copying files", current=48_200, done=True),
        VertexDone(time=0.03, vertex=4),
        VertexStarted(time=0.04, vertex=5, why="an input changed: COPY src /src"),
        VertexLog(time=0.9, vertex=5, stream=1, data=b"cc -O2 -c lexer.c\ncc -O2 -c parser.c\ncc -O2 -c main.c\n"),
    ]
    return told


def render() -> str:
    trace = Trace()
    for event in events():
        trace.apply(event)
    lines = ["$ builder build -t app ."]
    lines += frame(trace, 1.24, (COLUMNS, 40), Palette.from_environment({}), title="builder:builtin")
    width, height = int(COLUMNS * CHARACTER + 2 * MARGIN), len(lines) * LINE + 2 * MARGIN
    rows = []
    for number, line in enumerate(lines):
        color = found[1] if (found := re.match(r"\x1b\[(\d+)m", line)) else ""
        text = html.escape(re.sub(r"\x1b\[\d*m", "", line)).replace(" ", "&#160;")
        rows.append(f'<text x="{MARGIN}" y="{MARGIN + LINE * number + 14}" fill="{COLORS[color]}">{text}</text>')
    return "\n".join((
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        '<title>builder build on a terminal</title>',
        f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>',
        '<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="14">',
        *rows, "</g>", "</svg>"))


if __name__ == "__main__":
    print(render())
