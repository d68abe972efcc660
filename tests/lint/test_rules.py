"""BuildKit's rules: testdata/lint/<case>/ holds a Dockerfile and the findings that BuildKit has for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builder.api import Builder, BuildOptions
from builder.lint.report import Report
from builder.source import Span

CASES = Path(__file__).parents[2] / "testdata" / "lint"


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    return Builder(str(tmp_path_factory.mktemp("state")))


def findings(report: Report) -> str:
    """One line each, in the order in which they were found."""
    lines = [f"{_place(finding.span)} {finding.rule.name}: {finding.message}" for finding in report.findings]
    if report.error is not None:
        location = report.error.location
        lines.append(f"{_place(location.span if location else None)} error: {report.error.message}")
    return "".join(f"{line}\n" for line in lines)


def _place(span: Span | None) -> str:
    if span is None:
        return "-"
    return str(span.line) if span.end_line <= span.line else f"{span.line}-{span.end_line}"


@pytest.mark.parametrize("case", sorted(path.parent for path in CASES.glob("*/findings.txt")), ids=lambda p: p.name)
def test_golden(case: Path, builder: Builder, tmp_path: Path, update_golden: bool) -> None:
    args = json.loads((case / "args.json").read_text()) if (case / "args.json").exists() else {}
    (tmp_path / "Dockerfile").write_bytes((case / "Dockerfile").read_bytes())
    if (case / "ignore").exists():
        (tmp_path / ".dockerignore").write_bytes((case / "ignore").read_bytes())
    found = findings(builder.check(BuildOptions(context=str(tmp_path), build_args=args)))
    if update_golden:
        (case / "findings.txt").write_text(found)
    assert found == (case / "findings.txt").read_text()
