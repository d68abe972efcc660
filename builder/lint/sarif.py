"""Reports as SARIF 2.1.0 (OASIS), which code scanning services read."""

from __future__ import annotations

from collections.abc import Iterable

from builder.lint.report import Report
from builder.lint.rules import RULES, Rule
from builder.source import Span
from builder.version import __version__

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_ERROR_RULE = "dockerfile-error"


def sarif(reports: Iterable[tuple[str, Report]], extra: Iterable[Rule] = ()) -> dict[str, object]:
    """One run over all reports, each with the path of its file; `extra` are rules beside BuildKit's that took part."""
    rules = [*RULES.values(), *extra]
    index = {rule.name: position for position, rule in enumerate(rules)}
    results: list[dict[str, object]] = []
    for path, report in reports:
        results += [
            {"ruleId": finding.rule.name, "ruleIndex": index[finding.rule.name], "level": "warning",
             "message": {"text": finding.message}, "locations": [_location(path, finding.span)]}
            for finding in report.by_line()]
        if (error := report.error) is not None:
            span = error.location.span if error.location else None
            results.append({"ruleId": _ERROR_RULE, "level": "error", "message": {"text": error.message},
                            "locations": [_location(path, span)]})
    driver = {"name": "builder", "version": __version__, "rules": [_descriptor(rule) for rule in rules]}
    return {"$schema": _SCHEMA, "version": "2.1.0",
            "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}]}


def _descriptor(rule: Rule) -> dict[str, object]:
    found: dict[str, object] = {"id": rule.name, "shortDescription": {"text": rule.description},
                                "defaultConfiguration": {"level": "warning"}}
    return {**found, "helpUri": rule.url} if rule.url else found


def _location(path: str, span: Span | None) -> dict[str, object]:
    place: dict[str, object] = {"artifactLocation": {"uri": _uri(path)}}
    if span is not None:
        region: dict[str, object] = {"startLine": span.line}
        if span.column:
            region["startColumn"] = span.column
        if span.end_line > span.line:
            region["endLine"] = span.end_line
        if span.end_column:
            region["endColumn"] = span.end_column
        place["region"] = region
    return {"physicalLocation": place}


def _uri(path: str) -> str:
    from urllib.parse import quote

    return quote(path)
