"""Go's encoding/csv, and the reading of one flag value with the same rules (tonistiigi/go-csvvalue, in buildx).

A field may stand in quotes, which then enclose all of it; `""` in it is a quote. A quote anywhere else is an error.
"""

from __future__ import annotations


class CsvError(ValueError):
    """Text that is not CSV; reads as Go's csv.ParseError does."""

    def __init__(self, line: int, column: int, why: str) -> None:
        super().__init__(f"parse error on line {line}, column {column}: {why}")


def csv_fields(text: str) -> list[str]:
    """The fields of one flag value, in which a line break is a character like others. Raises CsvError."""
    text = text.removesuffix("\n")
    if '"' not in text:
        return text.split(",")
    fields, _ = _record(text, 0, "")
    return fields


def csv_records(text: str) -> list[list[str]]:
    """The records of a file, one a line; empty lines are none. Raises CsvError."""
    text = text.replace("\r\n", "\n")
    records, at = [], 0
    while at < len(text):
        if text[at] == "\n":
            at += 1
            continue
        record, at = _record(text, at, "\n")
        records.append(record)
    return records


def csv_text(fields: list[str]) -> str:
    """`fields` as one flag value: what `csv_fields` reads back."""
    return ",".join('"' + field.replace('"', '""') + '"' if "," in field or '"' in field else field
                    for field in fields)


def _record(text: str, at: int, stop: str) -> tuple[list[str], int]:
    """The fields from `at` on, and where the text behind the record starts."""
    fields: list[str] = []
    while True:
        field, at = (_quoted if text.startswith('"', at) else _plain)(text, at, stop)
        fields.append(field)
        if not text.startswith(",", at):
            return fields, at + 1
        at += 1


def _plain(text: str, at: int, stop: str) -> tuple[str, int]:
    ends = [end for mark in ("," + stop) if (end := text.find(mark, at)) >= 0]
    end = min(ends, default=len(text))
    if (quote := text.find('"', at, end)) >= 0:
        raise _error(text, quote, 'bare " in non-quoted-field')
    return text[at:end], end


def _quoted(text: str, at: int, stop: str) -> tuple[str, int]:
    parts: list[str] = []
    at += 1
    while (end := text.find('"', at)) >= 0:
        parts.append(text[at:end])
        following = text[end + 1:end + 2]
        if following != '"':
            if following not in ("", ",", stop):
                raise _error(text, end, 'extraneous or missing " in quoted-field')
            return "".join(parts), end + 1
        parts.append('"')
        at = end + 2
    raise _error(text, at, 'extraneous or missing " in quoted-field')


def _error(text: str, at: int, why: str) -> CsvError:
    before = text[:at]
    return CsvError(before.count("\n") + 1, len(before[before.rfind("\n") + 1:].encode()) + 1, why)
