"""`builder prune`."""

from __future__ import annotations

import re
import sys

from builder.cli.command import Command, Invocation
from builder.cli.pflag import Flag, Kind
from builder.cli.table import align
from builder.cli.value_types import SIZE, choice
from builder.errors import InvalidValue
from builder.golang.duration import parse_duration
from builder.ui.units import human_size


def run(invocation: Invocation) -> int:
    from builder.store.gc import PrunePolicy

    flags = invocation.flags
    everything = flags.on("all")
    ages = [text.removeprefix("until=") for text in flags.all("filter") if text.startswith("until=")]
    policy = PrunePolicy(
        filters=tuple(text for text in flags.all("filter") if not text.startswith("until=")), all=everything,
        keep_duration=max(map(duration, ages), default=0.0),
        reserved_space=flags.value("reserved-space", flags.value("keep-storage", 0)),
        max_used_space=flags.value("max-used-space", 0),
        min_free_space=flags.value("min-free-space", 0))
    if not flags.on("force") and not _is_confirmed(everything):
        return 1
    with invocation.open() as builder:
        report = builder.prune(policy)
    if report.removed:
        print(align([["ID", "TYPE", "SIZE"], *([item.id.removeprefix("sha256:")[:25], item.type.value,
                                                human_size(item.size)] for item in report.removed)]), end="")
    print(f"Total:    {human_size(report.freed)}")
    return 0


def _is_confirmed(everything: bool) -> bool:
    what = "build cache that no image needs and records of builds" + (", and unpacked layers" if everything else "")
    print(f"WARNING! This will remove {what}. Are you sure you want to continue? [y/N] ", end="", file=sys.stderr,
          flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def duration(text: str) -> float:
    """Go's `1h30m`, also with days, in seconds. Raises InvalidValue."""
    try:
        return parse_duration(re.sub(r"([0-9.]+)d", lambda days: f"{float(days[1]) * 24}h", text)) / 1e9
    except ValueError:
        raise InvalidValue(f"`{text}` is not a duration", hint="write it as 24h or 1h30m") from None


COMMAND = Command(
    "prune", "[OPTIONS]", run,
    flags=(
        Flag("all", "Also unpacked layers of images: they are unpacked again when needed", Kind.BOOL, "a"),
        Flag("filter", 'Remove only what matches ("until=24h", "type=exec.cachemount", ...)', Kind.LIST,
             metavar="filter", type=choice("until=", "type=", "inuse", "id~=")),
        Flag("force", "Do not ask", Kind.BOOL, "f"),
        Flag("keep-storage", "Older name of --reserved-space", metavar="bytes", hidden=True, type=SIZE),
        Flag("max-used-space", "Remove until no more than this is used", metavar="bytes", type=SIZE),
        Flag("min-free-space", "Remove until this much of the disk is free", metavar="bytes", type=SIZE),
        Flag("reserved-space", "This much may always be kept", metavar="bytes", type=SIZE),
        Flag("verbose", "", Kind.BOOL, hidden=True),
    ))
