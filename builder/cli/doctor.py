"""`builder doctor`."""

from __future__ import annotations

import os
import sys

from builder.cli.commands import Command, Invocation
from builder.ui.colors import Palette, paint
from builder.ui.text import printable


def run(invocation: Invocation) -> int:
    """0 if builds can run, whatever else is missing."""
    palette = Palette.from_environment(os.environ) if sys.stdout.isatty() else Palette()
    with invocation.open() as builder:
        probes = builder.doctor()
    width = max((len(probe.name) for probe in probes), default=0)
    for probe in probes:
        mark = paint("ok", palette.run) if probe.ok else paint("--", palette.warning)
        print(f"{mark}  {probe.name.ljust(width)}  {printable(probe.detail)}")
        if probe.hint:
            print(f"    {' ' * width}  hint: {printable(probe.hint)}")
    return 0


COMMAND = Command(usage="doctor", run=run)
