"""`builder history`: as docker's, but the ids of the layers are real."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.cli.command import Command, Invocation
from builder.cli.pflag import Flag, Kind
from builder.cli.table import FORMAT_FLAG, ago, render_rows, short_id
from builder.cli.value_types import IMAGE
from builder.golang.times import rfc3339
from builder.ui.units import human_size

if TYPE_CHECKING:
    from builder.images.summary import HistoryRow

HEADERS = {"ID": "IMAGE", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "CreatedBy": "CREATED BY",
           "Size": "SIZE", "Comment": "COMMENT"}
_MISSING = "<missing>"
_WIDTH = 45


def run(invocation: Invocation) -> int:
    flags = invocation.flags
    with invocation.open() as builder:
        entries = builder.history(invocation.arguments[0])
        image = str(builder.inspect(invocation.arguments[0])["Id"])
    whole, human = flags.on("no-trunc"), flags.on("human", True)
    rows = [row_of(entry, whole=whole, human=human) for entry in entries]
    if rows:
        rows[0]["ID"] = image if whole else short_id(image)
    if flags.on("quiet"):
        print("".join(f"{row['ID']}\n" for row in rows), end="")
        return 0
    columns = ("ID", "CreatedSince" if human else "CreatedAt", "CreatedBy", "Size", "Comment")
    print(render_rows(rows, HEADERS, columns, flags.text("format")), end="")
    return 0


def row_of(entry: HistoryRow, *, whole: bool, human: bool) -> dict[str, str]:
    """`<missing>` stands where an entry made no layer."""
    command = entry.created_by.replace("\t", " ")
    if not whole and len(command) > _WIDTH:
        command = command[:_WIDTH - 1] + "…"
    return {
        "ID": (entry.layer if whole else short_id(entry.layer)) or _MISSING, "CreatedSince": ago(entry.created),
        "CreatedAt": rfc3339(int(entry.created)) if entry.created else "N/A", "CreatedBy": command,
        "Size": human_size(entry.size, 3) if human else str(entry.size), "Comment": entry.comment,
    }


COMMAND = Command(
    "history", "[OPTIONS] IMAGE", run, arguments=(1, 1), takes=IMAGE,
    flags=(
        FORMAT_FLAG,
        Flag("human", "Print sizes and dates in human readable form (default true)", Kind.BOOL, "H"),
        Flag("no-trunc", "Don't shorten output", Kind.BOOL),
        Flag("quiet", "Only show ids", Kind.BOOL, "q"),
    ))
