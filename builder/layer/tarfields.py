"""The fields of tar headers and the records of pax headers. Every function raises ValueError saying what is wrong."""

from __future__ import annotations

import functools
import os
import zlib

NUMBER_LIMIT = 1 << 63
_SHOWN, _LONGEST_SHOWN = 60, 300


def shown_name(name: bytes) -> str:
    """A member's name for an error message, which may have been made long on purpose."""
    return os.fsdecode(name) if len(name) <= _LONGEST_SHOWN else f"{os.fsdecode(name[:_SHOWN])}..."


def check_sum(block: bytes) -> None:
    """Accepts the sum of signed bytes too, as some old writers made it."""
    try:
        stored = number(block[148:156])
    except ValueError:
        stored = -1
    blank = block[:148] + b"        " + block[156:]
    # Adler-32's low half is 1 + the sum of the bytes modulo 65521: far cheaper than adding them up here.
    unsigned = (zlib.adler32(blank) & 0xFFFF) - 1
    if (unsigned - stored) % 65521 and sum(byte - 256 if byte > 127 else byte for byte in blank) != stored:
        raise ValueError("a header's checksum is wrong")


def name_of(block: bytes) -> bytes:
    """The name with the prefix that USTAR and star have, as it stands in a header."""
    name = block[:100].partition(b"\0")[0]
    if block[257:263] == b"ustar\0" and block[345]:
        end = 476 if block[508:512] == b"tar\0" else 500
        return block[345:end].partition(b"\0")[0] + b"/" + name
    return name


@functools.lru_cache(maxsize=1024)
def mode_and_owner(fields: bytes) -> tuple[int, int, int]:
    """Mode, uid and gid, three fields in a row, of which an archive has few different ones."""
    return number(fields[:8]), number(fields[8:16]), number(fields[16:])


def number(field: bytes) -> int:
    """Octal digits between blanks and zero bytes, nothing at all for 0, or GNU's base 256; within 64 bits."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") - (0x80 << 8 * (len(field) - 1))
        if field[0] & 0x40:
            value -= 1 << (8 * len(field) - 1)
        if not -NUMBER_LIMIT <= value < NUMBER_LIMIT:
            raise ValueError("a number is out of range")
        return value
    digits = field.strip(b" \0").partition(b"\0")[0]
    if not digits:
        return 0
    if digits.strip(b"01234567"):
        raise ValueError("a number is not octal")
    return int(digits, 8)


def decimal(text: bytes) -> int:
    """Digits and nothing else."""
    if not text.isdigit() or len(text) > 19:
        raise ValueError("a number is not decimal")
    return int(text)


def pax_records(data: bytes) -> dict[bytes, bytes]:
    """`LENGTH key=value\\n`, over and over. Keys of a sparse map, which repeat, are gathered in `GNU.sparse.map`."""
    records: dict[bytes, bytes] = {}
    sparse: list[bytes] = []
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 20)
        length = decimal(data[at:space]) if space > at else 0
        record = data[space + 1 : at + length]
        key, equals, value = record.partition(b"=")
        if not record.endswith(b"\n") or not equals or not key or at + length > len(data):
            raise ValueError("a pax record is malformed")
        at += length
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            if (key == b"GNU.sparse.offset") != (len(sparse) % 2 == 0):
                raise ValueError("a sparse map is malformed")
            sparse.append(value[:-1])
        else:
            records[key] = value[:-1]
    if sparse:
        records[b"GNU.sparse.map"] = b",".join(sparse)
    return records


def nanoseconds(text: bytes) -> int:
    """A pax time: seconds with an optional sign and fraction."""
    whole, _, fraction = text.partition(b".")
    negative = whole.startswith(b"-")
    seconds = decimal(whole[1:] if negative else whole)
    total = seconds * 1_000_000_000 + (decimal(fraction[:9].ljust(9, b"0")) if fraction else 0)
    return -total if negative else total
