"""How the reports of the checks are shown: buildx' text and JSON, and SARIF for code scanning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from builder.cli.diagnostics import solver_sentence
from builder.cli.excerpt import docker_excerpt
from builder.errors import BuilderError
from builder.lint.report import Report
from builder.lint.rules import Finding
from builder.source import Span
from builder.ui.text import printable


def check_text(report: Report, dockerfile: str = "") -> str:
    """The text of `--check`; excerpts are headed by `dockerfile`, or the source's own name."""
    if report.is_clean:
        return "Check complete, no warnings found.\n"
    if not report.findings:
        return ""
    count = len(report.findings)
    found = "1 warning has" if count == 1 else f"{count} warnings have"
    lines = [f"Check complete, {found} been found!"]
    for finding in report.by_line():
        lines += ["", *finding_lines(report, finding, dockerfile)]
    return "\n".join(lines) + "\n"


def finding_lines(report: Report, finding: Finding, dockerfile: str = "") -> list[str]:
    """One finding with its excerpt."""
    address = f" - {finding.rule.url}" if finding.rule.url else ""
    location = report.location(finding)
    return [f"WARNING: {finding.rule.name}{address}", printable(finding.message),
            *(docker_excerpt(location, dockerfile) if location else [])]


def check_error(error: BuilderError, dockerfile: str = "") -> str:
    """What `--check` says on standard error of a file that could not be planned."""
    lines = [f"ERROR: {solver_sentence(error)}"]
    if error.location is not None:
        lines += docker_excerpt(error.location, dockerfile)
    return "\n".join(lines) + "\n\n"


def check_json(report: Report) -> str:
    """The JSON of `--call=check,format=json`."""
    return json_text(check_document(report))


def check_document(report: Report) -> dict[str, object]:
    """BuildKit's LintResults, without the graph that the file came from."""
    source = report.source
    document: dict[str, object] = {
        "warnings": [_warning(finding) for finding in report.findings] or None,
        "sources": [{"filename": source.name, "data": source.text.encode(), "language": "Dockerfile"}],
    }
    if (error := report.error) is not None:
        span = error.location.span if error.location else None
        document["buildError"] = {"message": solver_sentence(error), "location": location(span)}
    return document


def _warning(finding: Finding) -> dict[str, object]:
    rule = finding.rule
    fields = {"ruleName": rule.name, "description": rule.description, "url": rule.url, "detail": finding.message}
    return {**{key: value for key, value in fields.items() if value}, "location": location(finding.span)}


def location(span: Span | None) -> dict[str, object]:
    """A place as BuildKit's API has it: one range for each line."""
    if span is None:
        return {}
    lines = range(span.line, max(span.line, span.end_line) + 1)
    return {"ranges": [{"start": {"line": line}, "end": {"line": line}} for line in lines]}


def json_text(document: Mapping[str, object] | Sequence[object]) -> str:
    """Indented as Go's json.MarshalIndent does, with its escapes for HTML."""
    text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e") + "\n"
