"""Bake files of testdata/bake/<case> against what `docker buildx bake --print` makes of them (see its README.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from builder.cli.main import main

CASES = Path(__file__).parent.parent.parent / "testdata" / "bake"


def _names(kind: str) -> list[str]:
    return sorted(path.parent.name for path in CASES.glob(f"*/{kind}"))


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _run(case: str, monkeypatch: pytest.MonkeyPatch, *more: str) -> int:
    monkeypatch.chdir(CASES / case)
    for line in _lines(CASES / case / "env"):
        name, _, value = line.partition("=")
        monkeypatch.setenv(name, value)
    return main(["bake", *_lines(CASES / case / "args"), *more])


def _comparable(text: str) -> dict[str, Any]:
    """Without what Go's maps leave to chance: the order of a matrix' targets in the group that stands for it."""
    printed: dict[str, Any] = json.loads(text)
    for group in printed.get("group", {}).values():
        group["targets"].sort()
    return printed


@pytest.mark.parametrize("case", _names("print.json"))
def test_prints_what_buildx_prints(case: str, monkeypatch: pytest.MonkeyPatch,
                                   capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(case, monkeypatch, "--print") == 0
    printed, wanted = capsys.readouterr().out, (CASES / case / "print.json").read_text()
    assert _comparable(printed) == _comparable(wanted)
    if "matrix" not in case:
        assert printed == wanted
