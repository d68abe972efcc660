"""`builder prune`."""

from __future__ import annotations

import re
import sys

from builder.cli.commands import Command, Invocation
from builder.cli.flags import Flag, Kind
from builder.cli.table import align
from builder.cli.values import InvalidValue, size
from builder.ui.units import human_size

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def run(invocation: Invocation) -> int:
    from builder.store.gc import PrunePolicy

    flags = invocation.flags
    everything = flags.on("all")
    ages = [text.removeprefix("until=") for text in flags.all("filter") if text.startswith("until=")]
    policy = PrunePolicy(
        filters=tuple(text for text in flags.all("filter") if not text.startswith("until=")), all=everything,
        keep_duration=max(map(duration, ages), default=0.0),
        reserved_space=size(flags.text("reserved-space") or flags.text("keep-storage", "0"), "reserved-space"),
        max_used_space=size(flags.text("max-used-space", "0"), "max-used-space"),
        min_free_space=size(flags.text("min-free-space", "0"), "min-free-space"))
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
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[smhd])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise InvalidValue(f"`{text}` is not a duration", hint="write it as 24h or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


COMMAND = Command(
    usage="prune [OPTIONS]", run=run,
    flags=(
        Flag("all", "Also unpacked layers of images: they are unpacked again when needed", Kind.BOOL, "a"),
        Flag("filter", 'Remove only what matches ("until=24h", "type=exec.cachemount", ...)', Kind.LIST,
             metavar="filter"),
        Flag("force", "Do not ask", Kind.BOOL, "f"),
        Flag("keep-storage", "Older name of --reserved-space", metavar="bytes", hidden=True),
        Flag("max-used-space", "Remove until no more than this is used", metavar="bytes"),
        Flag("min-free-space", "Remove until this much of the disk is free", metavar="bytes"),
        Flag("reserved-space", "This much may always be kept", metavar="bytes"),
        Flag("verbose", "", Kind.BOOL, hidden=True),
    ))
