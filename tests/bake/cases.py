"""Cases as folders: definition files, `args` (a line each) and `env` (`NAME=value` lines)."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.cli.main import main

TESTDATA = Path(__file__).parent.parent.parent / "testdata"


def bake(folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> int:
    """Runs `builder bake` with the case's arguments in its folder."""
    monkeypatch.chdir(folder)
    for line in lines(folder / "env"):
        name, _, value = line.partition("=")
        monkeypatch.setenv(name, value)
    return main(["bake", *lines(folder / "args"), *more])


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
