"""Mistakes in testdata/bake-errors/<case>: the whole message (stderr.txt), beside buildx' sentence (buildx.txt)."""

from __future__ import annotations

import pytest

from bake.cases import TESTDATA, bake

CASES = TESTDATA / "bake-errors"


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.iterdir() if path.is_dir()))
def test_message(case: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
                 update_golden: bool) -> None:
    golden = CASES / case / "stderr.txt"
    status = bake(CASES / case, monkeypatch, "--print")
    shown = capsys.readouterr()
    assert status in (1, 125)
    assert shown.out == ""
    if update_golden:
        golden.write_text(shown.err)
    assert shown.err == golden.read_text()
