"""Random layers mean the same here as in the model (see model.py), and touch nothing outside."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.layer.layer_fuzz import check_stack, fill

pytestmark = pytest.mark.root
STACKS = 300
CHUNKS = 4


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_random_layers_unpack_as_containerd_unpacks_them(tmp_path: Path, chunk: int) -> None:
    fill(outside := tmp_path / "outside")
    for seed in range(chunk * STACKS, (chunk + 1) * STACKS):
        folder = tmp_path / "layers"
        folder.mkdir()
        check_stack(seed, folder, outside)
        shutil.rmtree(folder)
