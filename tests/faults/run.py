#!/usr/bin/env python3
"""Shows every known fault before and after: a table of id, what, before, after.

    tests/faults/run.py [--builder "CMD"] [--before "CMD"] [-k TEXT]... [-j N] [-v] [--list]

CMD is split like a shell command and called as `CMD --root STATE build ...`; the default is this checkout's builder.
Needs root: namespaces, mounts and files of other users are part of the checks. Exit status 0 only if every check of
--builder is right, or cannot be made on this machine.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):
    sys.path.append(str(Path(__file__).resolve().parent.parent))

from faults.check import Check, Verdict, all_checks, run
from faults.lab import Lab

HERE = Path(__file__).resolve().parent.parent.parent


def this_checkout() -> list[str]:
    """The command of this checkout, with the Python that runs this, or that of its virtual environment."""
    installed = HERE / ".venv" / "bin" / "python"
    python = str(installed) if installed.exists() else sys.executable
    return ["env", f"PYTHONPATH={HERE}", python, "-m", "builder"]


def judge(one: Check, command: Sequence[str]) -> Verdict:
    """Runs one check in a new folder, which is removed."""
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    folder.chmod(0o755)
    lab = Lab(folder, command)
    try:
        return run(one, lab)
    finally:
        lab.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--builder", type=shlex.split, default=this_checkout(), metavar="CMD")
    parser.add_argument("--before", type=shlex.split, metavar="CMD", help="an older builder to compare with")
    parser.add_argument("-k", action="append", default=[], metavar="TEXT", help="only ids that hold a text")
    parser.add_argument("-j", type=int, default=1, metavar="N", help="how many checks run at a time")
    parser.add_argument("-v", action="store_true", help="also what each check saw")
    parser.add_argument("--list", action="store_true", help="only list the checks")
    options = parser.parse_args()
    chosen = [one for one in all_checks().values()
              if not options.k or any(text in one.id for text in options.k)]
    width = max((len(one.id) for one in chosen), default=0)
    if options.list:
        for one in chosen:
            print(f"{one.id:{width}}  {one.what}{' (not in pytest)' if one.slow else ''}")
        return 0
    if os.geteuid() != 0:
        print("run.py needs root: it makes namespaces, mounts and files of other users", file=sys.stderr)
        return 2
    return table(chosen, options, width)


def table(chosen: Sequence[Check], options: argparse.Namespace, width: int) -> int:
    began = time.monotonic()
    wide = max((len(one.what) for one in chosen), default=0)
    print(f"{'id':{width}}  {'what':{wide}}  {'before':6}  after", flush=True)
    counts: dict[str, int] = {}
    with concurrent.futures.ThreadPoolExecutor(options.j) as pool:
        for one, before, after in pool.map(lambda one: _both(one, options), chosen):
            shown = "" if before is None else before.state
            print(f"{one.id:{width}}  {one.what:{wide}}  {shown:6}  {after.state}", flush=True)
            for label, verdict in (("before", before), ("after", after)):
                if verdict is not None and (options.v or verdict.state in ("n/a", "error")):
                    print(f"{'':{width}}    {label}: {verdict.seen}", flush=True)
            counts[after.state] = counts.get(after.state, 0) + 1
    print(f"{', '.join(f'{number} {state}' for state, number in sorted(counts.items()))}"
          f" in {time.monotonic() - began:.0f} s")
    return 0 if set(counts) <= {"right", "n/a"} else 1


def _both(one: Check, options: argparse.Namespace) -> tuple[Check, Verdict | None, Verdict]:
    before = judge(one, options.before) if options.before else None
    return one, before, judge(one, options.builder)


if __name__ == "__main__":
    if not shutil.which("busybox"):
        sys.exit("run.py needs a static busybox (Debian: busybox-static)")
    sys.exit(main())
