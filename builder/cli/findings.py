"""How lint findings are shown: at the end of a build, and as the result of `--check`."""

from __future__ import annotations

from collections.abc import Sequence

from builder.cli.excerpt import docker_excerpt
from builder.engine.events import WarningRaised
from builder.ui.colors import Palette, paint
from builder.ui.text import printable
from builder.ui.trace import warning_text


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


def check_report(warnings: Sequence[WarningRaised], dockerfile: str) -> str:
    """The text of `--check`."""
    if not warnings:
        return "Check complete, no warnings found.\n"
    found = "1 warning has" if len(warnings) == 1 else f"{len(warnings)} warnings have"
    lines = [f"Check complete, {found} been found!"]
    for warning in warnings:
        address = f" - {warning.url}" if warning.url else ""
        lines += ["", f"WARNING: {warning.rule}{address}", printable(warning.message)]
        lines.extend(docker_excerpt(warning.location, dockerfile) if warning.location else [])
    return "\n".join(lines) + "\n"


def check_json(warnings: Sequence[WarningRaised]) -> str:
    """The JSON of `--call check,format=json`."""
    import msgspec

    sources = {w.location.source.name: w.location.source.text for w in warnings if w.location is not None}
    document = {
        "warnings": [_lint_warning(warning, list(sources)) for warning in warnings],
        "sources": [{"filename": name, "data": text.encode(), "language": "Dockerfile"}
                    for name, text in sources.items()],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def _lint_warning(warning: WarningRaised, sources: list[str]) -> dict[str, object]:
    location: dict[str, object] = {}
    if warning.location is not None:
        location = {"ranges": [_range(warning)]}
        if index := sources.index(warning.location.source.name):
            location["sourceIndex"] = index
    return {"ruleName": warning.rule, "description": warning.description, "url": warning.url,
            "detail": warning.message, "location": location}


def _range(warning: WarningRaised) -> dict[str, object]:
    assert warning.location is not None
    span = warning.location.span
    return {"start": {"line": span.line}, "end": {"line": max(span.line, span.end_line)}}


def _more(warning: WarningRaised) -> str:
    return f"More info: {warning.url}" if warning.url else ""
