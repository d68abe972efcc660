"""The text of a profile."""

from __future__ import annotations

from builder.inspection.profile import Profile, Row
from builder.store.builds import Phase
from builder.ui.profiletext import render


def row(number: int, name: str, outcome: str, seconds: float, size: int | None, *, critical: bool = False) -> Row:
    return Row(number=number, name=name, outcome=outcome, seconds=seconds, share=seconds / 10, size=size,
               critical=critical)


def test_profile() -> None:
    profile = Profile(
        build="0193", seconds=10.0, phases=(Phase("load", 0.5), Phase("solve", 9.0)), busy=9.5, critical=8.0,
        parallelism=1.12, peak=2, rows=(
            row(2, "[1/4] FROM debian", "cached", 0.0, 197_000_000),
            row(4, "[2/4] RUN " + "make " * 30, "run", 6.0, 4096, critical=True),
            row(5, "[3/4] RUN lint\x1b[2J", "failed", 2.0, None, critical=True)))
    assert render(profile) == """\
build 0193: 10.00s (load 0.50s, solve 9.00s)

   STEP  SECONDS  SHARE             LAYER  WHAT
     @2   cached                     197MB  [1/4] FROM debian
*    @4     6.00   60% ######        4.1kB  [2/4] RUN make make make make make make make make make ma...
*    @5     2.00   20% ##                -  [3/4] RUN lint\\x1b[2J (failed)

steps took 9.50s together, the critical path (*) 8.00s
on average 1.1 ran at the same time, at most 2
"""
