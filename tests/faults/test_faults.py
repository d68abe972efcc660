"""Every known fault is checked against this checkout; a fault that is still open must be found as one."""

from __future__ import annotations

import os
import sys

import pytest

from .check import Check, all_checks
from .run import HERE, judge

NOT_YET = frozenset[str]()
"""Faults that are still open. A check named here has to fail, so the list shrinks with every fix."""

SCRIPT_ONLY = frozenset({"S10", "S13", "U1"})
"""Rows whose checks take long while they are open, or need many builds: `run.py` runs them."""
OF_A_ROW = 1
"""How many checks of a row run here, to keep this short; the script runs all of them."""

COMMAND = ("env", f"PYTHONPATH={HERE}", sys.executable, "-m", "builder")


def _chosen() -> list[Check]:
    chosen: dict[str, list[Check]] = {}
    for one in all_checks().values():
        row = one.id.split("-")[0]
        if not one.slow and row not in SCRIPT_ONLY and len(chosen.setdefault(row, [])) < OF_A_ROW:
            chosen[row].append(one)
    return [one for row in chosen.values() for one in row]


@pytest.mark.root
@pytest.mark.parametrize("one", _chosen(), ids=lambda one: one.id)
def test_the_fault_is_gone(one: Check) -> None:
    assert os.geteuid() == 0, "these checks need root"
    verdict = judge(one, COMMAND)
    if verdict.state == "n/a":
        pytest.skip(verdict.seen)
    if one.id in NOT_YET:
        assert verdict.state == "fault", f"{one.id} is right now: take it off NOT_YET ({verdict.seen})"
    else:
        assert verdict.state == "right", f"{verdict.state}: {verdict.seen}"


def test_the_open_faults_are_checks() -> None:
    assert set(all_checks()) >= NOT_YET
