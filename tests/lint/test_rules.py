"""BuildKit's rules: testdata/lint/<case>/ holds a Dockerfile and the findings that BuildKit has for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builder.api import Builder, BuildOptions
from builder.golang.suggest import suggestion
from builder.language.parser import parse
from builder.lint.linter import LintConfig, Linter
from builder.lint.report import Report
from builder.oci import Descriptor, Digest, ImageConfig, MediaType, Platform
from builder.plan.planner import plan
from builder.plan.planoptions import NamedContext, PlanOptions
from builder.plan.vertices import FromStore, ResolvedImage
from builder.reference import Reference
from builder.source import Source, Span

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


class Arm:
    """A resolver for which every image is one for linux/arm64."""

    def image(self, reference: Reference, platform: Platform) -> ResolvedImage:
        layer = Descriptor(media_type=MediaType.OCI_LAYER, digest=Digest("sha256:" + "d" * 64), size=1)
        return ResolvedImage(name=str(reference), digest=Digest("sha256:" + "e" * 64), layers=(layer,),
                             config=ImageConfig(architecture="arm64", os="linux"), origin=FromStore())

    def named_context(self, name: str, platform: Platform) -> NamedContext | None:
        return None

    def ignored(self, path: str) -> bool:
        return False


def test_base_images_of_another_platform() -> None:
    """Engines refuse such images before they could warn; what is expected here is what BuildKit's source says."""
    text = ("FROM debian AS a\nFROM --platform=linux/arm64 debian AS arm64\nFROM scratch\nCOPY --from=busybox / /\n"
            "COPY --from=a / /\nCOPY --from=arm64 / /\n")
    linter, amd64 = Linter(LintConfig()), Platform("amd64")
    plan(parse(Source("Dockerfile", text)), PlanOptions(build_platform=amd64, platform=amd64), Arm(), linter)
    assert findings(Report(source=Source("Dockerfile", text), findings=tuple(linter.findings))) == (
        '1 InvalidBaseImagePlatform: Base image debian was pulled with platform "linux/arm64", expected "linux/amd64" '
        'for current build\n'
        '- InvalidBaseImagePlatform: Base image busybox was pulled with platform "linux/arm64", expected "linux/amd64" '
        'for current build\n')


def test_options_of_checks() -> None:
    assert LintConfig.parse("") == LintConfig()
    assert LintConfig.parse(" skip = A , B ; experimental=all;error=1") == LintConfig(
        skip=frozenset({"A", "B"}), experimental_all=True, error=True)
    assert suggestion("PAHT", ["PATH", "HOME"], "$") == " (did you mean $PATH?)"
    assert suggestion("PATH", ["PATH", "PATHS"]) == suggestion("xyz", ["PATH"]) == ""
