"""A build's profile as text: phases, then a line a step, then what its parallelism was worth."""

from __future__ import annotations

from builder.golang.tabwriter import cell_width
from builder.inspection.profile import Profile, Row
from builder.ui.text import clip, printable
from builder.ui.units import human_size

_NAME = 60
_BAR = 10


def render(profile: Profile) -> str:
    """The table; `*` marks the critical path, whose steps alone decide how long the build takes."""
    phases = ", ".join(f"{phase.name} {phase.seconds:.2f}s" for phase in profile.phases)
    lines = [f"build {profile.build}: {profile.seconds:.2f}s" + (f" ({phases})" if phases else "")]
    lines += ["", "   STEP  SECONDS  SHARE             LAYER  WHAT"]
    lines += [_line(row) for row in profile.rows]
    lines += ["", f"steps took {profile.busy:.2f}s together, the critical path (*) {profile.critical:.2f}s"]
    if profile.peak:
        lines.append(f"on average {profile.parallelism:.1f} ran at the same time, at most {profile.peak}")
    return "".join(f"{line}\n" for line in lines)


def _line(row: Row) -> str:
    mark = "*" if row.critical else " "
    seconds = row.outcome if row.outcome == "cached" else f"{row.seconds:.2f}"
    bar = "#" * round(row.share * _BAR)
    share = f"{row.share:>4.0%} {bar}" if row.outcome != "cached" else ""
    size = human_size(row.size, 3) if row.size is not None else "-"
    name = printable(row.name.replace("\n", " "))
    name = name if cell_width(name) <= _NAME else clip(name, _NAME - 3) + "..."
    failed = f" ({row.outcome})" if row.outcome not in ("cached", "run") else ""
    return f"{mark} {'@' + str(row.number):>5} {seconds:>8}  {share:<16} {size:>7}  {name}{failed}"
