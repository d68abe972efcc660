"""How lint findings are shown at the end of a build."""

from __future__ import annotations

from collections.abc import Sequence

from builder.cli.excerpt import docker_excerpt
from builder.solver.events import WarningRaised
from builder.ui.buildstate import warning_text
from builder.ui.colors import Palette, paint
from builder.ui.text import printable


def summary(warnings: Sequence[WarningRaised], palette: Palette, *, debug: bool) -> str:
    """What buildx prints after a build with findings; with `debug` also what each rule means, and the place."""
    if not warnings:
        return ""
    found = "1 warning found" if len(warnings) == 1 else f"{len(warnings)} warnings found"
    more = "" if debug else " (use --debug to expand)"
    lines = ["", " " + paint(f"{found}{more}:", palette.warning)]
    for warning in warnings:
        lines.append(f" - {printable(warning_text(warning))}")
        if debug:
            lines.extend([line for line in (warning.description, _more(warning)) if line])
            lines.extend(docker_excerpt(warning.location) if warning.location else [])
            lines.append("")
    return "\n".join(lines) + "\n"


def _more(warning: WarningRaised) -> str:
    return f"More info: {warning.url}" if warning.url else ""
