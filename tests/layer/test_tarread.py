from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.layer.tarread import BadArchive, Member, TarReader
from tests.layer.tars import TIME, member, tar

NAMES = ["f", "d/f", "n" * 100, "n" * 101, "p" * 90 + "/" + "q" * 90, "x" * 300 + "/y", "ü" * 70]
GOOD = tar(
    member("d", "dir/"), member("f", "dir/file", "text"), member("f", "l" * 200, "y" * 600), member("l", "s", "t")
)


def read(data: bytes, piece: int = 1 << 20) -> list[tuple[Member, bytes]]:
    reader = TarReader(iter([data[at : at + piece] for at in range(0, len(data), piece)]))
    return [(found, b"".join(bytes(part) for part in reader.data())) for found in reader]


@pytest.mark.parametrize("piece", [1 << 20, 512, 700, 13])
@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_tarfile_writes_is_read(format: int, piece: int) -> None:
    names = [name for name in NAMES if format != tarfile.USTAR_FORMAT or (len(name) < 256 and name.isascii())]
    names = [name for name in names if format != tarfile.USTAR_FORMAT or name != "n" * 101]
    big = 1 if format == tarfile.USTAR_FORMAT else 1 << 31
    members = [member("f", name, "text" * index * 200, owner=(big, 5), mode=0o4711) for index, name in enumerate(names)]
    members += [
        member("l", "link", "t" * 90),
        member("h", "hard", "f"),
        member("c", "null", "1,3"),
        member("p", "pipe"),
        member("d", "dir/"),
    ]
    found = read(tar(*members, format=format), piece)
    assert [(m.name.decode(), data.decode()) for m, data in found[: len(names)]] == [
        (name, "text" * index * 200) for index, name in enumerate(names)
    ]
    assert {(m.uid, m.gid, m.mode, m.mtime_ns) for m, _ in found[: len(names)]} == {(big, 5, 0o4711, TIME * 10**9)}
    rest = [(m.kind, m.name, m.link, m.device) for m, _ in found[len(names) :]]
    assert rest == [
        (b"2", b"link", b"t" * 90, (0, 0)),
        (b"1", b"hard", b"f", (0, 0)),
        (b"3", b"null", b"", (1, 3)),
        (b"6", b"pipe", b"", (0, 0)),
        (b"5", b"dir/", b"", (0, 0)),
    ]


def test_pax_records_override_the_header() -> None:
    pax = {
        "path": "new/ü",
        "uid": "4000000000",
        "gid": "7",
        "mtime": "1600000000.25",
        "size": "3",
        "SCHILY.xattr.user.note": "v",
        "comment": "ignored",
        "gname": "staff",
    }
    ((found, data),) = read(tar(member("f", "old", "abc", pax=pax)))
    assert (found.name.decode(), found.uid, found.gid, found.size, data) == ("new/ü", 4000000000, 7, 3, b"abc")
    assert (found.mtime_ns, found.xattrs) == (1_600_000_000_250_000_000, {"user.note": b"v"})


@pytest.mark.parametrize(("written", "read_as"), [(-5, 0), (2**33, 2**33 * 10**9), (2**40, 0)])
def test_times_outside_of_what_go_can_hold_become_1970(written: int, read_as: int) -> None:
    ((found, _),) = read(tar(member("f", "f", mtime=written)))
    assert found.mtime_ns == read_as


def test_global_headers_are_members_that_say_nothing() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"path": "no"}) as archive:
        archive.addfile(member("f", "yes")[0])
    assert [(m.kind, m.name) for m, _ in read(out.getvalue())] == [(b"g", b"././@PaxHeader"), (b"0", b"yes")]


def test_an_old_tar_marks_directories_by_a_slash() -> None:
    v7 = bytearray(tar(member("\0", "dir/"), format=tarfile.USTAR_FORMAT))
    v7[257:265] = bytes(8)
    assert [m.kind for m, _ in read(resum(v7))] == [b"5"]


@pytest.mark.parametrize(
    "flags", [["--format=gnu"], *(["--format=pax", f"--sparse-version={v}"] for v in ("0.0", "0.1", "1.0"))]
)
@pytest.mark.parametrize("holes", [1, 3, 40])
def test_sparse_files_of_gnu_tar(tmp_path: Path, flags: list[str], holes: int) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        for index in range(holes):
            file.seek((index + 1) * 64 << 10)
            file.write(b"part %d" % index)
        file.truncate((holes + 2) * 64 << 10)
    (tmp_path / "after").write_text("after")
    made = subprocess.run(
        ["tar", "-C", tmp_path, *flags, "--sparse", "-cf", "-", "sparse", "after"], check=True, capture_output=True
    )
    (found, data), (after, _) = read(made.stdout)
    assert (found.name, found.kind, found.size, after.name) == (b"sparse", b"0", (holes + 2) * 64 << 10, b"after")
    assert found.sparse is not None
    whole = bytearray(found.size)
    for offset, length in found.sparse:
        whole[offset : offset + length], data = data[:length], data[length:]
    assert bytes(whole) == (tmp_path / "sparse").read_bytes()


def resum(data: bytes | bytearray, at: int = 0) -> bytes:
    """With the right checksum in the header at `at`."""
    block = bytearray(data)
    block[at + 148 : at + 156] = b" " * 8
    block[at + 148 : at + 156] = b"%06o\0 " % sum(block[at : at + 512])
    return bytes(block)


def patched(at: int, new: bytes, data: bytes = GOOD) -> bytes:
    return resum(data[:at] + new + data[at + len(new) :])


def raw_pax(records: bytes, behind: bytes = GOOD) -> bytes:
    """An extended header of exactly these bytes before `behind`."""
    return tar(member("x", "PaxHeader", records.decode("latin-1")), format=tarfile.USTAR_FORMAT)[:1024] + behind


def sparse(records: dict[str, str], data: str) -> bytes:
    return tar(member("f", "s", data, pax={f"GNU.sparse.{key}": value for key, value in records.items()}))


MALFORMED: dict[str, tuple[bytes, str]] = {
    "checksum": (GOOD[:5] + b"?" + GOOD[6:], "a header's checksum is wrong"),
    "no tar at all": (b"#!/bin/sh\n" * 100, "a header's checksum is wrong"),
    "cut in a header": (GOOD[:100], "it ends early"),
    "cut in data": (GOOD[: 2 * 512 + 2], "it ends early"),
    "cut behind an extended header": (tar(member("f", "n" * 200))[:1024], "it ends early"),
    "one empty block": (GOOD[:512] + bytes(512) + GOOD[512:], "an empty block is followed by another one"),
    "mode": (patched(100, b"rwxr-xr-"), "a number is not octal"),
    "size": (patched(124, b"0o777777777\0"), "a number is not octal"),
    "underscores": (patched(124, b"1_000000000\0"), "a number is not octal"),
    "negative size": (patched(124, b"\xff" * 12, tar(member("f", "f"))), "a size is out of range"),
    "huge size": (patched(124, b"\x80" + b"\x7f" * 11), "a number is out of range"),
    "owner": (patched(108, b"\x80\0\0\0\xff\xff\xff\xff"), "an owner is out of range"),
    "negative owner": (patched(108, b"\xff" * 8), "an owner is out of range"),
    "pax without a length": (raw_pax(b"path=x\n"), "a pax record is malformed"),
    "pax length not a number": (raw_pax(b"x path=x\n"), "a number is not decimal"),
    "pax record too long": (raw_pax(b"99 path=x\n"), "a pax record is malformed"),
    "pax record too short": (raw_pax(b"5 path=x\n"), "a pax record is malformed"),
    "pax without equals": (raw_pax(b"8 path\n\n"), "a pax record is malformed"),
    "pax size": (raw_pax(b"12 size=0x1\n"), "a number is not decimal"),
    "pax time": (raw_pax(b"12 mtime=1e\n"), "a number is not decimal"),
    "pax name with a zero byte": (raw_pax(b"12 path=a\0b\n"), "a name holds a zero byte"),
    "extended header too long": (
        patched(124, b"00010000000\0", raw_pax(b"11 path=xx\n")),
        "an extended header is too long",
    ),
    "sparse parts overlap": (
        sparse({"numblocks": "2", "size": "9", "map": "0,4,2,4"}, "12345678"),
        "the parts of a sparse file overlap",
    ),
    "sparse parts beyond the end": (
        sparse({"numblocks": "1", "size": "9", "map": "5,8"}, "12345678"),
        "the parts of a sparse file do not fit its size",
    ),
    "sparse parts and data differ": (
        sparse({"numblocks": "1", "size": "99", "map": "5,7"}, "12345678"),
        "the parts of a sparse file do not fit its size",
    ),
    "sparse map with an odd number": (
        sparse({"numblocks": "1", "size": "9", "map": "0,1,2"}, "1"),
        "a sparse map is malformed",
    ),
    "sparse map of words": (sparse({"numblocks": "1", "size": "9", "map": "a,b"}, "1"), "a sparse map is malformed"),
    "sparse map in the data, not there": (
        sparse({"major": "1", "minor": "0", "realsize": "9"}, "x" * 600),
        "a sparse map is malformed",
    ),
    "sparse map in the data, cut off": (
        sparse({"major": "1", "minor": "0", "realsize": "9"}, "200\n"),
        "a sparse map is cut off",
    ),
    "sparse map in the data, endless": (
        sparse({"major": "1", "minor": "0", "realsize": "9"}, "9999999\n" + "1\n" * 700_000),
        "a sparse map is too long",
    ),
}


@pytest.mark.parametrize(("data", "cause"), MALFORMED.values(), ids=MALFORMED)
def test_what_is_malformed_is_refused_with_a_reason(data: bytes, cause: str) -> None:
    with pytest.raises(BadArchive, match="archive is not a valid tar") as caught:
        read(data)
    assert caught.value.cause == cause


def test_the_error_names_the_member_that_came_last() -> None:
    with pytest.raises(BadArchive, match="layer is not a valid tar at member `dir/file`"):
        reader = TarReader(iter([GOOD[: 2 * 512 + 2]]), "layer")
        for _ in reader:
            list(reader.data())


@pytest.mark.parametrize(
    "data", [b"", bytes(512), bytes(1024), GOOD[:512]], ids=["empty", "one block", "two", "no end"]
)
def test_an_archive_may_end_in_several_ways(data: bytes) -> None:
    assert len(read(data)) == bool(data.strip(b"\0"))


def test_the_padding_of_the_last_member_may_be_missing() -> None:
    ((found, data),) = read(tar(member("f", "f", "text"))[: 512 + 4])
    assert (found.name, data) == (b"f", b"text")


@settings(max_examples=300, deadline=None)
@given(
    at=st.integers(0, len(GOOD) - 1),
    new=st.binary(min_size=1, max_size=12),
    sum_right=st.booleans(),
    piece=st.integers(1, 5000),
)
def test_no_bytes_do_anything_but_parse_or_be_refused(at: int, new: bytes, sum_right: bool, piece: int) -> None:
    data = GOOD[:at] + new + GOOD[at + len(new) :]
    if sum_right and (start := at // 512 * 512) + 512 <= len(data):
        data = resum(data, start)
    try:
        read(data, piece)
    except BadArchive as error:
        assert error.cause
