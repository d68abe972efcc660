"""Texts that grow end soon, in 2 GiB of addresses, with a result or an error that has a place.

    python -m tests.fuzz.limits [SECONDS [SEED]]

What ends otherwise is printed with its seed; the exit status is 1 then.
"""

from __future__ import annotations

import sys
import time
from collections import Counter

from tests.plan.limit_fuzz import check


def main(seconds: int = 600, seed: int = 0) -> int:
    start, slowest, ends = time.monotonic(), (0.0, 0), Counter[str]()
    while time.monotonic() < start + seconds:
        ended, took = check(seed)
        slowest = max(slowest, (took, seed))
        ends[ended if ended in ("result", "error") else "wrong"] += 1
        if ended not in ("result", "error"):
            print(f"seed {seed}: {ended}", flush=True)
        seed += 1
    print(f"{dict(ends)}, slowest {slowest[0]:.1f} s (seed {slowest[1]})")
    return 1 if ends["wrong"] else 0


sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
