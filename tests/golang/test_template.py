"""Templates against what `docker image inspect --format` printed (testdata/cli/templates.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from builder.golang.template import StringMap, TemplateError, render

RECORDED = json.loads((Path(__file__).parents[2] / "testdata" / "cli" / "templates.json").read_text())
NOT_COMPARED = {"{{json .}}"}
"""Docker's struct has another order of fields, and leaves empty ones out."""


def typed(value: Any, name: str = "") -> Any:
    """The recorded document with maps where docker's types have maps."""
    if isinstance(value, dict):
        kind = StringMap if name in ("Labels", "ExposedPorts", "Volumes") else dict
        return kind({key: typed(item, key) for key, item in value.items()})
    return [typed(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("case", RECORDED["cases"], ids=lambda case: case["template"])
def test_as_docker(case: dict[str, str]) -> None:
    value = typed(RECORDED["value"])
    if case["template"] in NOT_COMPARED:
        assert json.loads(render(case["template"], value)) == RECORDED["value"]
    elif "error" in case:
        with pytest.raises(TemplateError) as caught:
            render(case["template"], value)
        assert f"template parsing error: template: {caught.value}" == case["error"]
    else:
        assert render(case["template"], value) == case["output"]


@pytest.mark.parametrize(("template", "output"), [
    ("{{with $x := .a}}{{$x.b}}{{$x.c}}{{end}}", "12"),
    ("{{$n := 0}}{{range .l}}{{$n = .}}{{end}}{{$n}}", "3"),
    ("{{range .l}}{{if eq . 2}}{{continue}}{{end}}{{.}},{{end}}", "1,3,"),
    ("{{range .none}}x{{else}}empty{{end}}", "empty"),
    ("{{if and .t (not .f)}}yes{{end}}", "yes"),
    ("{{if .f}}a{{else if .t}}b{{else}}c{{end}}", "b"),
    ("{{`raw \\n`}}{{\"\\x41\\u00e9\\101\"}}", "raw \\nAéA"),
    ("{{printf \"%05d|%-4s|%x\" 42 \"a\" 255}}", "00042|a   |ff"),
    ("a {{- /* gone */ -}} b", "ab"),
    ("{{.l | len | printf \"%d items\"}}", "3 items"),
    ("{{1.5}} {{-3}} {{nil}}", "1.5 -3 <no value>"),
])
def test_more_of_the_language(template: str, output: str) -> None:
    value = {"a": {"b": 1, "c": 2}, "l": [1, 2, 3], "t": True, "f": False, "none": None}
    assert render(template, value) == output


@pytest.mark.parametrize("template", [
    "{{", "{{.a", "{{if .a}}", "{{range}}{{end}}", "{{else}}", "{{.a | }}", "{{(.a}}", "{{$x}}", "{{break}}", "{{%}}",
    "{{$x = 1}}", "{{if .a}}{{else}}{{else}}{{end}}", "{{.a.b.c}}", "{{len 3}}", "{{lt 1 \"a\"}}", "{{json}}",
    "{{.a .b}}", "{{range 1.5}}{{end}}", "{{join .a}}", "{{index 3 1}}", "{{slice .a}}", "{{truncate 1 2 3}}",
])
def test_what_makes_no_sense_is_an_error_not_a_crash(template: str) -> None:
    with pytest.raises(TemplateError):
        render(template, {"a": {"b": 1}})
