"""What COPY and WORKDIR make, compared with what BuildKit made of the same instructions."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from builder.context.local import LocalContext
from builder.errors import BuilderError
from builder.layer.copylayer import CopyPlan, MkdirPlan, plan_copy, plan_mkdir
from builder.layer.view import MergedView
from builder.plan.vertices import Copy
from tests.layer.copy_cases import BASE, BASE_MTIME, CONTEXT, CONTEXT_MTIME, case_names, ops, read_case
from tests.layer.trees import dump_tree, make_tree

NOW_NS = 1_700_000_000 * 10**9
pytestmark = pytest.mark.root


@pytest.mark.parametrize("name", case_names())
def test_as_buildkit(name: str, tmp_path: Path) -> None:
    case = read_case(name)
    context = tmp_path / "context"
    context.mkdir()
    make_tree(str(context), CONTEXT + case.get("extra", ""), default_mtime=CONTEXT_MTIME)
    os.utime(context, (CONTEXT_MTIME, CONTEXT_MTIME))
    layers: list[str] = []
    if "scratch" not in case:
        layers.append(str(tmp_path / "base"))
        os.mkdir(layers[0])
        make_tree(layers[0], BASE, default_mtime=BASE_MTIME)
    try:
        for number, op in enumerate(ops(case["steps"], has_parent=bool(layers))):
            parent = MergedView(layers) if layers else None
            plan: CopyPlan | MkdirPlan
            if isinstance(op, Copy):
                plan = plan_copy(op, [LocalContext(str(context))] * len(op.sources), parent)
            else:
                plan = plan_mkdir(op, parent)
            layers.append(str(tmp_path / f"layer{number}"))
            os.mkdir(layers[-1], 0o700)
            plan.write(layers[-1], parent=parent, now_ns=NOW_NS)
    except BuilderError as error:
        assert "error" in case, error
        _assert_same_error(case["error"], error.message)
        return
    assert "error" not in case, case["error"]
    found = [re.sub(r"@\d{6,}", "@now", line) for line in dump_tree(MergedView(layers), mtimes=True)]
    assert found == case["tree"].splitlines()


def _assert_same_error(recorded: str, message: str) -> None:
    """The same path, and the words that say what is wrong with it."""
    path = re.search(r"/[\w./*-]+", recorded.split("failed to solve: ")[-1])
    for words in ("not a directory", "not found", "non-directory", "too many", "syntax error", "user", "replace"):
        if words in recorded:
            assert words in message
    if path and "no such file" not in recorded:
        assert path[0].rstrip("/") in message
