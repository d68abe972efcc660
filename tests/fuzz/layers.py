"""Random layers unpack as the model of containerd says, and touch nothing outside: LAYERS of them, from SEED on."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from tests.layer.layer_fuzz import check_stack, fill


def main(layers: int = 100_000, seed: int = 0) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        fill(outside := Path(scratch, "outside"))
        folder = Path(scratch, "layers")
        first, done = seed, 0
        while done < layers:
            folder.mkdir()
            done += check_stack(seed, folder, outside)
            shutil.rmtree(folder)
            seed += 1
    print(f"{done} layers in {seed - first} images")


main(*(int(argument) for argument in sys.argv[1:]))
