from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from builder.solver.events import BuildStarted, VertexNamed, WarningRaised
from builder.source import Location, Source, Span
from builder.ui.rawjson import RawJson
from tests.ui.recorded import CASES, events_of


def lines_of(events: list[Any]) -> list[dict[str, list[dict[str, Any]]]]:
    out = io.StringIO()
    view = RawJson(out)
    for event in events:
        view.handle(event)
    view.close()
    return [json.loads(line) for line in out.getvalue().splitlines()]


def parts(lines: list[dict[str, list[dict[str, Any]]]], kind: str) -> list[dict[str, Any]]:
    return [part for line in lines for part in line.get(kind, ())]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_says_what_dockers_says(case: Path) -> None:
    ours = lines_of(events_of(case))
    theirs = [json.loads(line) for line in (case / "rawjson.jsonl").read_text().splitlines()]

    def outcomes(lines: Any) -> set[tuple[Any, ...]]:
        last = {v["digest"]: v for v in parts(lines, "vertexes")}
        return {(v["name"], v.get("cached"), v.get("error"), "completed" in v) for v in last.values()}

    assert outcomes(ours) == outcomes(theirs)
    assert Counter((log["stream"], log["data"]) for log in parts(ours, "logs")) == Counter(
        (log["stream"], log["data"]) for log in parts(theirs, "logs"))
    for kind in ("vertexes", "statuses", "logs"):
        keys = {key for part in parts(theirs, kind) for key in part}
        assert {key for part in parts(ours, kind) for key in part} <= keys
        assert keys - {key for part in parts(ours, kind) for key in part} <= {"inputs", "name"}


def test_inputs_are_digests_of_vertices() -> None:
    first, second = parts(lines_of([
        BuildStarted(time=1.0, build="b"), VertexNamed(time=1.0, vertex=0, name="a"),
        VertexNamed(time=1.0, vertex=1, name="b", inputs=(0,))]), "vertexes")
    assert second["inputs"] == [first["digest"]]
    assert first["digest"].startswith("sha256:") and len(first["digest"]) == 71


def test_warnings_carry_their_place() -> None:
    place = Location(Source("Dockerfile", "FROM a\n"), Span(1, 1, 1, 5))
    [warning] = parts(lines_of([
        VertexNamed(time=1.0, vertex=0, name="a"),
        WarningRaised(time=1.0, rule="R", message="m", description="d", url="u", location=place)]), "warnings")
    assert (warning["short"], warning["detail"], warning["url"]) == ("UjogbSAobGluZSAxKQ==", ["ZA=="], "u")
    assert warning["range"] == [{"start": {"line": 1}, "end": {"line": 1}}]
    assert warning["sourceInfo"]["filename"] == "Dockerfile"
