"""`builder du`."""

from __future__ import annotations

from builder.cli.command import Command, Invocation
from builder.cli.pflag import Flag, Kind
from builder.cli.table import FORMAT_FLAG, ago, align, render_rows, utc
from builder.cli.value_types import choice
from builder.ui.units import human_size

HEADERS = {"ID": "ID", "Type": "TYPE", "Reclaimable": "RECLAIMABLE", "Size": "SIZE", "LastUsed": "LAST ACCESSED",
           "CreatedAt": "CREATED AT", "InUse": "IN USE", "Shared": "SHARED", "Description": "DESCRIPTION"}


def run(invocation: Invocation) -> int:
    from builder.store.usage import totals

    flags = invocation.flags
    with invocation.open() as builder:
        usage = builder.usage(flags.all("filter"))
    rows = [{
        "ID": item.id, "Type": item.type.value, "Reclaimable": str(item.reclaimable).lower(),
        "Size": human_size(item.size), "LastUsed": ago(item.last_used), "CreatedAt": utc(item.created),
        "InUse": str(item.in_use).lower(), "Shared": str(item.shared).lower(), "Description": item.description,
    } for item in usage]
    columns = ["ID", "Type", "Reclaimable", "Size", "LastUsed", *(["Description"] if flags.on("verbose") else [])]
    if not flags.on("verbose"):
        for row in rows:
            row["ID"] = row["ID"].removeprefix("sha256:")[:25]
    print(render_rows(rows, HEADERS, columns, flags.text("format")), end="")
    if not flags.given("format"):
        sums = totals(usage)
        print(align([["Shared:", human_size(sums.shared)], ["Reclaimable:", human_size(sums.reclaimable)],
                     ["Total:", human_size(sums.size)]]), end="")
    return 0


COMMAND = Command(
    "du", "[OPTIONS]", run,
    flags=(Flag("filter", 'Show only what matches ("type=regular", "inuse", "id~=PATTERN", ...)', Kind.LIST,
                metavar="filter", type=choice("type=", "inuse", "id~=")),
           FORMAT_FLAG, Flag("verbose", "Whole ids, and what each item is", Kind.BOOL)))
