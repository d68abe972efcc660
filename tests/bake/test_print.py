"""Bake files of testdata/bake/<case>, and what `docker buildx bake --print` makes of them (see testdata/README.md)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bake.cases import TESTDATA, bake

CASES = TESTDATA / "bake"


@pytest.mark.parametrize("case", sorted(path.parent.name for path in CASES.glob("*/print.json")))
def test_prints_what_buildx_prints(case: str, monkeypatch: pytest.MonkeyPatch,
                                   capsys: pytest.CaptureFixture[str]) -> None:
    assert bake(CASES / case, monkeypatch, "--print") == 0
    printed, wanted = capsys.readouterr().out, (CASES / case / "print.json").read_text()
    assert _comparable(printed) == _comparable(wanted)
    if "matrix" not in case:
        assert printed == wanted


def _comparable(text: str) -> dict[str, Any]:
    """Without what Go's maps leave to chance: the order of a matrix' targets in the group that stands for it."""
    printed: dict[str, Any] = json.loads(text)
    for group in printed.get("group", {}).values():
        group["targets"].sort()
    return printed


@pytest.mark.parametrize("name", ["targets", "variables"])
@pytest.mark.parametrize("form", ["table", "json"])
def test_lists_what_buildx_lists(name: str, form: str, monkeypatch: pytest.MonkeyPatch,
                                 capsys: pytest.CaptureFixture[str]) -> None:
    folder = TESTDATA / "bake-list"
    assert bake(folder, monkeypatch, f"--list=type={name},format={form}") == 0
    assert capsys.readouterr().out == (folder / f"{name}.{form}").read_text()


def test_what_is_printed_reads_back_as_it_was(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
                                              tmp_path: Any) -> None:
    for case in ("expressions", "inherits", "compose", "functions-standard"):
        wanted = (CASES / case / "print.json").read_text()
        (tmp_path / "docker-bake.json").write_text(wanted)
        names = list(json.loads(wanted)["target"])
        assert bake(tmp_path, monkeypatch, "--print", *names) == 0
        assert json.loads(capsys.readouterr().out)["target"] == json.loads(wanted)["target"], case


def test_variables_of_the_command_line_come_before_the_environment(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert bake(CASES / "variables", monkeypatch, "--print", "--var", "FROM_ENV=flag", "--var", "NEVER=x") == 0
    assert json.loads(capsys.readouterr().out)["target"]["default"]["args"]["FROM_ENV"] == "flag"


def test_an_argument_that_means_nothing_is_pointed_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Any,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "docker-bake.hcl").write_text('target "default" {\n  tag = ["x"]\n}\n')
    assert bake(tmp_path, monkeypatch, "--print") == 0
    shown = capsys.readouterr()
    assert "tag" not in shown.out
    assert shown.err == ("warning: docker-bake.hcl:2:3: a target has no argument `tag`, so it means nothing: "
                         "did you mean `tags`?\n")
