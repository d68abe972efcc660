"""Copies and mounts in random trees of links are what the kernel makes of them in a chroot, and touch nothing outside.

    python -m tests.fuzz.links [OPERATIONS [SEED]]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.layer.link_fuzz import Model, check_round, fill


def main(operations: int = 100_000, seed: int = 0) -> None:
    start, first, mounts, copies = time.monotonic(), seed, 0, 0
    with tempfile.TemporaryDirectory() as folder, Model() as model:
        fill(canary := Path(folder, "canary"))
        (scratch := Path(folder, "trees")).mkdir()
        while mounts + copies < operations:
            mounted, copied = check_round(seed, scratch, canary, model)
            mounts, copies, seed = mounts + mounted, copies + copied, seed + 1
    print(f"{mounts} mounts and {copies} copies in {seed - first} trees, {time.monotonic() - start:.0f} s")


main(*(int(argument) for argument in sys.argv[1:]))
