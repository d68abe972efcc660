"""Bytes against BuildKit's are in test_pack; here: what each field needs, as tarfile reads it back."""

from __future__ import annotations

import io
import tarfile

import pytest

from builder.layer import tarwrite

LONG = b"p" * 60 + b"/" + b"q" * 60


def read(block: bytes) -> tarfile.TarInfo:
    with tarfile.open(fileobj=io.BytesIO(block + tarwrite.END)) as archive:
        return archive.getmembers()[0]


@pytest.mark.parametrize(
    ("fields", "blocks"),
    [
        ({"name": b"short"}, 1),
        ({"name": b"n" * 100}, 1),
        ({"name": LONG}, 1),
        ({"name": LONG + b"/", "kind": tarwrite.DIRECTORY}, 1),
        ({"name": b"n" * 101}, 3),
        ({"name": b"d/" + b"n" * 101}, 3),
        ({"name": b"d" * 156 + b"/n"}, 3),
        ({"name": "ü".encode()}, 3),
        ({"name": b"not \xff utf-8"}, 3),
        ({"name": b"l", "link": b"t" * 100, "kind": tarwrite.SYMLINK}, 1),
        ({"name": b"l", "link": b"t" * 101, "kind": tarwrite.SYMLINK}, 3),
        ({"name": LONG, "link": b"t" * 101, "kind": tarwrite.SYMLINK}, 3),
        ({"name": b"f", "uid": (1 << 21) - 1, "gid": (1 << 21) - 1}, 1),
        ({"name": b"f", "uid": 1 << 21}, 3),
        ({"name": b"f", "gid": (1 << 32) - 2}, 3),
        ({"name": b"f", "mtime": (1 << 33) - 1}, 1),
        ({"name": b"f", "mtime": 1 << 33}, 3),
        ({"name": b"f", "mtime": -1}, 3),
        ({"name": b"dev", "kind": tarwrite.CHAR_DEVICE, "device": (4095, (1 << 20) - 1)}, 1),
        ({"name": b"n" * 5000}, 12),
    ],
)
def test_a_header_says_all_in_as_few_blocks_as_it_can(fields: dict[str, object], blocks: int) -> None:
    given = {"kind": tarwrite.FILE, "mode": 0o4755, "uid": 1, "gid": 2, "mtime": 3} | fields
    block = tarwrite.header(given.pop("kind"), given.pop("name"), **given)  # type: ignore[arg-type]
    assert len(block) == blocks * tarwrite.BLOCK
    found = read(block)
    assert found.name.encode("utf-8", "surrogateescape") == fields["name"].rstrip(b"/")  # type: ignore[attr-defined]
    assert found.linkname.encode() == fields.get("link", b"")
    assert (found.uid, found.gid, found.mtime) == (given["uid"], given["gid"], given["mtime"])
    assert found.mode == 0o4755
    if "device" in fields:
        assert (found.devmajor, found.devminor) == fields["device"]


def test_a_size_beyond_eight_gigabytes_is_a_pax_record() -> None:
    block = tarwrite.header(tarwrite.FILE, b"f", mode=0, uid=0, gid=0, mtime=0, size=1 << 33)
    assert b"19 size=8589934592\n" in block
    assert b"size=" not in tarwrite.header(tarwrite.FILE, b"f", mode=0, uid=0, gid=0, mtime=0, size=(1 << 33) - 1)


@pytest.mark.parametrize("length", [85, 86, 87, 88, 984, 985, 986, 987, 9982])
def test_the_length_of_a_record_counts_its_own_digits(length: int) -> None:
    found = read(tarwrite.header(tarwrite.FILE, b"f", mode=0, uid=0, gid=0, mtime=0, capability=b"c" * length))
    assert found.pax_headers == {"SCHILY.xattr.security.capability": "c" * length}


def test_data_is_padded_to_blocks() -> None:
    assert [len(tarwrite.padding(size)) for size in (0, 1, 511, 512, 513)] == [0, 511, 1, 0, 511]
