"""`builder fsck`."""

from __future__ import annotations

from builder.cli.command import Command, Invocation
from builder.cli.pflag import Flag, Kind
from builder.ui.text import printable


def run(invocation: Invocation) -> int:
    """0 if nothing is damaged, or all damage was repaired."""
    with invocation.open() as builder:
        findings = builder.fsck(repair=invocation.flags.on("repair"))
    for finding in findings:
        repaired = " (repaired)" if finding.repaired else ""
        print(f"{finding.kind.value}: {printable(finding.subject)}: {printable(finding.message)}{repaired}")
    damaged = [finding for finding in findings if finding.is_damage and not finding.repaired]
    if not findings:
        print("no damage found")
    return 1 if damaged else 0


COMMAND = Command(
    "fsck", "[OPTIONS]", run,
    flags=(Flag("repair", "Repair damage; forget what cannot be repaired, so that it is built again", Kind.BOOL),))
