"""Generated expressions (tests/fuzz/bake_expressions.py): some as buildx has them, others that end."""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

from bake.cases import TESTDATA

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))
from bake_expressions import BATCH, Generator, builders  # it is a program as well

RECORDED = json.loads((TESTDATA / "bake-generated" / "buildx.json").read_text())


def test_recorded_expressions_are_what_buildx_made_of_them() -> None:
    expressions = [expression for expression, _ in RECORDED]
    assert len(expressions) > 50
    ours = builders(expressions)
    wrong = [(*row, mine) for row, mine in zip(RECORDED, ours, strict=True) if mine != row[1]]
    assert not wrong


def test_no_expression_crashes_or_hangs() -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)  # shown where it fails
    generator, start = Generator(seed), time.monotonic()
    while time.monotonic() < start + 20:
        expressions = [generator.expression() for _ in range(BATCH)]
        assert len(builders(expressions)) == BATCH
    assert time.monotonic() - start < 120
