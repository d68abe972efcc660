"""Outcomes are those of docker buildx (BuildKit), which was given the same archives to ADD to the same image.

Where releases of it differ (names that climb, links that lead out), they are those of go-archive 0.2.0: everything
happens as if the destination were `/`.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from builder.errors import ImageError
from builder.layer.archive import extract_archive, is_archive, unpack_context
from builder.layer.decompress import ArchiveTooLarge
from builder.layer.extract import MemberFailed
from builder.layer.memberpaths import MemberRefused
from builder.layer.tree import Entry
from builder.layer.view import MergedView
from builder.rooted.root import Root
from tests.layer.tars import TIME, listing, member, tar

pytestmark = pytest.mark.root

PLAIN = tar(member("f", "f", "text"))
ARCHIVES: dict[str, bytes] = {
    "plain": PLAIN,
    "gzip": gzip.compress(PLAIN),
    "two gzip members": gzip.compress(PLAIN[:600]) + gzip.compress(PLAIN[600:]),
    "bzip2": bz2.compress(PLAIN),
    "xz": lzma.compress(PLAIN),
    "zstd": zstandard.compress(PLAIN),
    "garbage behind the end": PLAIN + b"garbage" * 1000,
    "cut off in the padding": PLAIN[:700],
    "garbage behind gzip": gzip.compress(PLAIN) + b"junk",
    "a global header only": tar(member("g", "pax_global_header", "20 comment=12345678\n")),
}
OTHERS: dict[str, bytes] = {
    "nothing": b"",
    "zeros": bytes(5000),
    "an empty tar": bytes(1024),
    "text": b"hello\n" * 1000,
    "compressed text": gzip.compress(b"hello\n" * 1000),
    "a compressed empty tar": gzip.compress(bytes(10240)),
    "a damaged header": b"x" + PLAIN[1:],
    "cut off in the header": PLAIN[:400],
    "gzip cut off": gzip.compress(PLAIN)[:15],
    "magic only": b"\x28\xb5\x2f\xfd",
}


def entry(folder: Path, name: str) -> Entry:
    return Entry(name, Root(str(folder)), os.stat(folder))


@pytest.mark.parametrize(
    ("data", "expected"),
    [*((a, True) for a in ARCHIVES.values()), *((o, False) for o in OTHERS.values())],
    ids=[*ARCHIVES, *OTHERS],
)
def test_an_archive_is_told_by_its_content(tmp_path: Path, data: bytes, expected: bool) -> None:
    (tmp_path / "file").write_bytes(data)
    assert is_archive(entry(tmp_path, "file")) is expected


def test_a_global_header_unpacks_to_nothing(tmp_path: Path) -> None:
    extract_archive(io.BytesIO(ARCHIVES["a global header only"]), str(tmp_path), "")
    assert listing(tmp_path) == []


def test_only_regular_files_are_archives(tmp_path: Path) -> None:
    (tmp_path / "real.tar").write_bytes(PLAIN)
    os.symlink("real.tar", tmp_path / "link.tar")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "d").mkdir()
    found = [is_archive(entry(tmp_path, name)) for name in ("real.tar", "link.tar", "pipe", "d", "missing")]
    assert found == [True, False, False, False, False]


@pytest.mark.parametrize(
    "data",
    [data for name, data in ARCHIVES.items() if "global" not in name],
    ids=[name for name in ARCHIVES if "global" not in name],
)
def test_every_archive_is_unpacked(tmp_path: Path, data: bytes) -> None:
    assert extract_archive(io.BytesIO(data), str(tmp_path), "/deep/er/") == ()
    assert listing(tmp_path) == ["d 0755 0:0 deep", "d 0755 0:0 deep/er", "f 0640 7:8 deep/er/f 'text'"]


@pytest.fixture
def image(tmp_path: Path) -> MergedView:
    base = tmp_path / "base"
    for folder in ("t/dir", "t/etc", "outside"):
        (base / folder).mkdir(parents=True)
    (base / "t/file").write_text("1")
    (base / "t/dir/old").write_text("2")
    os.symlink("dir", base / "t/lnk")
    os.symlink("/outside", base / "t/away")
    os.chmod(base / "t/dir", 0o2711)
    os.chown(base / "t/dir", 11, 12)
    os.setxattr(base / "t/dir", "user.note", b"kept")
    os.utime(base / "t/dir", (TIME, TIME))
    return MergedView([str(base)])


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    (tmp_path / "layer").mkdir()
    return tmp_path / "layer"


TREES: dict[str, tuple[list[tuple[str, ...]], list[str]]] = {
    "a link inside the archive": (
        [("d", "b"), ("l", "a", "b"), ("f", "a/f", "x")],
        ["l 7:8 t/a -> b", "d 0750 7:8 t/b", "f 0640 7:8 t/b/f 'x'"],
    ),
    "a link to the destination's own /etc": (
        [("l", "a", "/etc"), ("f", "a/f", "x")],
        ["l 7:8 t/a -> /etc", "d 0755 0:0 t/etc", "f 0640 7:8 t/etc/f 'x'"],
    ),
    "a link that climbs": (
        [("l", "a", "../../../etc"), ("f", "a/f", "x")],
        ["l 7:8 t/a -> ../../../etc", "d 0755 0:0 t/etc", "f 0640 7:8 t/etc/f 'x'"],
    ),
    "names that climb": (
        [("f", "../../up", "1"), ("f", "x/../../y", "2"), ("f", "/abs/f", "3"), ("f", "./dot/f", "4")],
        [
            "d 0755 0:0 t/abs",
            "f 0640 7:8 t/abs/f '3'",
            "d 0755 0:0 t/dot",
            "f 0640 7:8 t/dot/f '4'",
            "f 0640 7:8 t/up '1'",
            "f 0640 7:8 t/y '2'",
        ],
    ),
    "what exists": (
        [("d", "etc"), ("f", "etc/new", "x"), ("d", "opt"), ("d", "."), ("f", "dir", "y")],
        ["f 0640 7:8 t/dir 'y'", "d 0750 7:8 t/etc", "f 0640 7:8 t/etc/new 'x'", "d 0750 7:8 t/opt"],
    ),
    "a directory of the image": ([("f", "dir/new", "x")], ["d 2711 11:12 t/dir", "f 0640 7:8 t/dir/new 'x'"]),
    "a directory over a file of the image": (
        [("d", "file"), ("f", "file/x", "x")],
        ["d 0750 7:8 t/file", "f 0640 7:8 t/file/x 'x'"],
    ),
    "a link of the image": ([("f", "lnk/x", "x")], ["d 2711 11:12 t/dir", "f 0640 7:8 t/dir/x 'x'"]),
    "a directory over a link of the image": (
        [("f", "lnk/x", "x"), ("d", "lnk"), ("f", "lnk/x", "y")],
        ["d 2711 11:12 t/dir", "f 0640 7:8 t/dir/x 'x'", "d 0750 7:8 t/lnk", "f 0640 7:8 t/lnk/x 'y'"],
    ),
    "duplicates": (
        [("f", "a", "1"), ("d", "a"), ("f", "a/b", "2"), ("f", "a/b", "33"), ("l", "a/b", "zz"), ("f", "a/b", "4")],
        ["d 0750 7:8 t/a", "f 0640 7:8 t/a/b '4'"],
    ),
    "a directory of the image, removed on the way": (
        [("f", "dir", "1"), ("d", "dir"), ("f", "dir/new", "2")],
        ["d 0750 7:8 t/dir", "f 0640 7:8 t/dir/new '2'", "whiteout t/dir/old"],
    ),
    "hard links": (
        [("f", "t", "1"), ("l", "s", "t"), ("h", "h1", "t"), ("h", "h2", "/t"), ("h", "h3", "s"), ("h", "h4", "../t")],
        ["f 0640 7:8 t/h1 '1'", "h t/h2 = t/h1", "l 7:8 t/h3 -> t", "h t/h4 = t/h1", "l 7:8 t/s -> t", "h t/t = t/h1"],
    ),
    "names of whiteouts": (
        [("f", ".wh.file", "x"), ("f", ".wh..wh..opq", "y")],
        ["f 0640 7:8 t/.wh..wh..opq 'y'", "f 0640 7:8 t/.wh.file 'x'"],
    ),
    "devices": ([("c", "null", "1,3"), ("p", "pipe")], ["c 0640 7:8 t/null 1,3", "p 0640 7:8 t/pipe"]),
}


@pytest.mark.parametrize(("members", "tree"), TREES.values(), ids=TREES)
def test_members_land_as_in_buildkit(
    layer: Path, image: MergedView, members: list[tuple[str, ...]], tree: list[str]
) -> None:
    data = tar(*(member(*fields) for fields in members))
    extract_archive(io.BytesIO(data), str(layer), "/t/", below=image)
    assert listing(layer) == ["d 0755 0:0 t", *tree]


def test_a_directory_that_is_copied_up_keeps_everything(layer: Path, image: MergedView) -> None:
    extract_archive(io.BytesIO(tar(member("f", "dir/new"))), str(layer), "/t", below=image)
    assert os.getxattr(layer / "t/dir", "user.note") == b"kept"
    assert (layer / "t/dir").stat().st_mtime == TIME


REFUSED: dict[str, tuple[list[tuple[str, ...]], type[ImageError], str]] = {
    "a hard link out": (
        [("h", "h", "../../outside")],
        MemberRefused,
        "archive member `h` is a hard link to `../../outside`, which the archive does not hold",
    ),
    "a hard link to what only the host has": (
        [("h", "h", "/etc/passwd")],
        MemberRefused,
        "archive member `h` is a hard link to `/etc/passwd`, which the archive does not hold",
    ),
    "behind a link of the archive that leads out": (
        [("l", "a", "/outside"), ("f", "a/f", "x")],
        MemberRefused,
        "archive member `a/f` lies behind a link to `t/outside`, which does not exist",
    ),
    "behind a link of the image that leads out": (
        [("f", "away/f", "x")],
        MemberRefused,
        "archive member `away/f` lies behind a link to `t/outside`, which does not exist",
    ),
    "behind a file of the image": (
        [("f", "file/x", "x")],
        MemberRefused,
        "archive member `file/x` lies behind `t/file`, which is not a directory",
    ),
    "a whiteout as overlayfs has it": (
        [("c", "w", "0,0")],
        MemberRefused,
        "archive member `w` is a character device 0:0, which overlayfs takes for a removed file",
    ),
    "an unknown type": ([("Z", "z")], MemberRefused, "archive member `z` is of a type that cannot be unpacked: `Z`"),
    "a file for the destination": (
        [("f", "/", "x")],
        MemberRefused,
        "archive member `/` stands for the directory itself without being one",
    ),
    "a name that Linux has no room for": (
        [("f", "n" * 300)],
        MemberFailed,
        f"cannot extract archive member `{'n' * 300}`",
    ),
}


@pytest.mark.parametrize(("members", "kind", "message"), REFUSED.values(), ids=REFUSED)
def test_what_buildkit_refuses_is_refused_by_name(
    layer: Path, image: MergedView, members: list[tuple[str, ...]], kind: type[ImageError], message: str
) -> None:
    data = tar(*(member(*fields) for fields in members))
    with pytest.raises(kind) as caught:
        extract_archive(io.BytesIO(data), str(layer), "/t", below=image)
    assert caught.value.message == message


def test_an_owner_is_given_to_members_but_not_to_omitted_parents(layer: Path) -> None:
    data = tar(member("f", "a/f", "1", mode=0o4755), member("d", "d"), member("l", "l", "f"), member("h", "h", "a/f"))
    extract_archive(io.BytesIO(data), str(layer), "", owner=(21, 22))
    assert listing(layer) == ["d 0755 0:0 a", "f 4755 21:22 a/f '1'", "d 0750 21:22 d", "h h = a/f", "l 21:22 l -> f"]


def test_of_extended_attributes_capabilities_are_kept(layer: Path) -> None:
    capability = b"\1\0\0\2" + bytes([0, 4]) + bytes(14)
    pax = {"SCHILY.xattr.user.note": "v", "SCHILY.xattr.security.capability": capability.decode("latin-1")}
    extract_archive(io.BytesIO(tar(member("f", "f", pax=pax))), str(layer), "", owner=(5, 5))
    assert os.listxattr(layer / "f") == ["security.capability"]


def test_files_of_the_same_layer_stay_or_are_replaced(layer: Path, image: MergedView) -> None:
    (layer / "t/dir").mkdir(parents=True)
    (layer / "t/dir/mine").write_text("mine")
    (layer / "t/x").write_text("mine")
    extract_archive(
        io.BytesIO(tar(member("f", "x", "theirs"), member("f", "dir/y", "y"))), str(layer), "t", below=image
    )
    assert (layer / "t/dir/mine").read_text() == "mine"
    assert (layer / "t/x").read_text() == "theirs"


def test_a_destination_behind_a_link_is_inside_the_image(layer: Path, image: MergedView) -> None:
    extract_archive(io.BytesIO(PLAIN), str(layer), "/t/lnk/new", below=image)
    assert listing(layer)[-1] == "f 0640 7:8 t/dir/new/f 'text'"


def test_a_bomb_is_stopped(layer: Path) -> None:
    bomb = gzip.compress(tar(member("f", "f", "0" * (4 << 20))))
    with pytest.raises(ArchiveTooLarge):
        extract_archive(io.BytesIO(bomb), str(layer), "", limit=1 << 20)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress], ids=["plain", "gzip", "zstd"])
def test_a_context_keeps_its_owners_and_modes(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    data = tar(member("d", "./", mode=0o700), member("f", "./Dockerfile", "FROM scratch\n"), member("f", "./a/b", "x"))
    unpack_context(io.BytesIO(pack(data)), str(tmp_path))
    assert listing(tmp_path) == ["f 0640 7:8 Dockerfile 'FROM scratch\\n'", "d 0755 0:0 a", "f 0640 7:8 a/b 'x'"]
