"""Outlines and targets: testdata/outline/<case>/ holds a Dockerfile and what docker buildx prints for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builder.api import Builder, BuildOptions
from builder.cli.surveys import describe_json, describe_text, outline_json, outline_text, targets_json, targets_text

CASES = Path(__file__).parents[2] / "testdata" / "outline"


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    return Builder(str(tmp_path_factory.mktemp("state")))


def options_of(case: Path) -> BuildOptions:
    given = json.loads((case / "args.json").read_text()) if (case / "args.json").exists() else {}
    return BuildOptions(context=str(case), build_args=given.get("args", {}), target=given.get("target", ""))


@pytest.mark.parametrize("case", sorted(path.parent for path in CASES.glob("*/Dockerfile")), ids=lambda p: p.name)
def test_golden(case: Path, builder: Builder) -> None:
    assert outline_text(builder.outline(options_of(case))) == (case / "outline.txt").read_text()
    assert targets_text(builder.targets(options_of(case))) == (case / "targets.txt").read_text()


def test_json(builder: Builder) -> None:
    options = options_of(CASES / "everything")
    outline = json.loads(outline_json(builder.outline(options)))
    assert outline["args"][0] == {"name": "GLOB", "description": "a global arg", "value": "1",
                                  "location": {"ranges": [{"start": {"line": 2}, "end": {"line": 2}}]}}
    assert [need["name"] for need in outline["secrets"]] == ["s2", "s1"]
    assert outline["ssh"][1]["required"] is True
    assert [cache["ID"] for cache in outline["cache"]] == ["cc"]
    targets = json.loads(targets_json(builder.targets(options)))["targets"]
    assert [target.get("default", False) for target in targets] == [False, False, True]
    assert (targets[0]["base"], targets[0]["description"]) == ("${BASE}", "the first stage")


def test_requests_describe_themselves() -> None:
    assert describe_text().splitlines()[1].split(maxsplit=2) == [
        "outline", "1.0.0", "List all parameters current build target supports"]
    assert [request["name"] for request in json.loads(describe_json())] == [
        "frontend.outline", "frontend.targets", "frontend.subrequests.describe"]
