from __future__ import annotations

import gzip
import io
import os
import resource
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import ImageError
from builder.layer.decompress import ArchiveUnreadable
from builder.layer.extract import MemberFailed
from builder.layer.memberpaths import MemberRefused
from builder.layer.pack import pack
from builder.layer.tarread import BadArchive
from builder.layer.unpack import DiffIDMismatch, Unpacked, unpack_layer
from tests.layer.tars import TIME, listing, member, tar

pytestmark = pytest.mark.root
NO_ID = 0xFFFFFFFF


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """An empty directory beside files that no archive may touch."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/victim").write_text("safe")
    (tmp_path / "layer").mkdir()
    return tmp_path / "layer"


def unpack(layer: Path, *members: object, **options: object) -> Unpacked:
    data = tar(*members)  # type: ignore[arg-type]
    return unpack_layer(io.BytesIO(data), str(layer), **options)  # type: ignore[arg-type]


def test_attributes_are_those_of_the_archive(layer: Path) -> None:
    capability = b"\1\0\0\2" + bytes([0, 4]) + bytes(14)
    pax = {
        "mtime": "1600000000.123456789",
        "SCHILY.xattr.user.note": "v",
        "SCHILY.xattr.trusted.overlay.opaque": "y",
        "SCHILY.xattr.security.capability": capability.decode("latin-1"),
        "SCHILY.xattr.user.builder.owner": "1:1:1",
    }
    unpack(
        layer,
        member("d", "dir/", mode=0o1555, owner=(1, 2)),
        member("f", "dir/file", "x", mode=0o6711, pax=pax),
        member("l", "dir/link", "file", owner=(3, 4)),
        member("c", "dir/null", "1,3", mode=0o666),
        member("p", "dir/pipe"),
    )
    assert listing(layer) == [
        "d 1555 1:2 dir",
        "f 6711 7:8 dir/file 'x'",
        "l 3:4 dir/link -> file",
        "c 0666 7:8 dir/null 1,3",
        "p 0640 7:8 dir/pipe",
    ]
    assert (layer / "dir/file").stat().st_mtime_ns == 1_600_000_000_123_456_789
    assert (layer / "dir").stat().st_mtime_ns == (layer / "dir/link").lstat().st_mtime_ns == TIME * 10**9
    assert sorted(os.listxattr(layer / "dir/file")) == ["security.capability", "user.note"]
    assert os.getxattr(layer / "dir/file", "security.capability") == capability


TREES: dict[str, tuple[list[tuple[object, ...]], list[str]]] = {
    "implied parents": ([("f", "a/b/f", "1")], ["d 0755 0:0 a", "d 0755 0:0 a/b", "f 0640 7:8 a/b/f '1'"]),
    "parents described later": ([("f", "a/f", "1"), ("d", "a/")], ["d 0750 7:8 a", "f 0640 7:8 a/f '1'"]),
    "root entries": ([("d", "./"), ("d", "/"), ("d", "a/.."), ("f", "./f", "1")], ["f 0640 7:8 f '1'"]),
    "absolute and dotted names": (
        [("f", "/a", "1"), ("f", "../../b", "2"), ("f", "x/../../c", "3"), ("f", "./d//e/./f", "4")],
        [
            "f 0640 7:8 a '1'",
            "f 0640 7:8 b '2'",
            "f 0640 7:8 c '3'",
            "d 0755 0:0 d",
            "d 0755 0:0 d/e",
            "f 0640 7:8 d/e/f '4'",
        ],
    ),
    "later wins": (
        [("f", "a", "1"), ("f", "a", "22"), ("l", "b", "a"), ("f", "b", "3")],
        ["f 0640 7:8 a '22'", "f 0640 7:8 b '3'"],
    ),
    "a file over a directory": ([("d", "a/"), ("f", "a/b/c", "1"), ("f", "a", "2")], ["f 0640 7:8 a '2'"]),
    "a directory over a file hides what is below": (
        [("f", "a", "1"), ("d", "a/"), ("f", "a/b", "2")],
        ["d 0750 7:8 a opaque", "f 0640 7:8 a/b '2'"],
    ),
    "a directory over a link": (
        [("l", "a", "../outside"), ("d", "a/"), ("f", "a/b", "2")],
        ["d 0750 7:8 a opaque", "f 0640 7:8 a/b '2'"],
    ),
    "directories merge": (
        [("d", "a/"), ("f", "a/b", "1"), ("d", "a/"), ("f", "a/c", "2")],
        ["d 0750 7:8 a", "f 0640 7:8 a/b '1'", "f 0640 7:8 a/c '2'"],
    ),
    "a directory replaced and made again": (
        [("d", "a/"), ("d", "a/b/"), ("l", "a", "/"), ("d", "a/"), ("f", "a/b/c", "1")],
        ["d 0750 7:8 a opaque", "d 0755 0:0 a/b", "f 0640 7:8 a/b/c '1'"],
    ),
    "whiteouts": ([("f", ".wh.a"), ("f", "d/.wh.b")], ["whiteout a", "d 0755 0:0 d", "whiteout d/b"]),
    "a whiteout of what the layer holds": (
        [("f", "f", "1"), ("f", ".wh.f"), ("d", "d/"), ("f", "d/x", "2"), ("f", ".wh.d")],
        ["d 0750 7:8 d opaque", "f 0640 7:8 d/x '2'", "f 0640 7:8 f '1'"],
    ),
    "what the layer holds after its whiteout": (
        [("f", ".wh.f"), ("f", "f", "1"), ("f", ".wh.d"), ("d", "d/"), ("f", ".wh.e"), ("f", "e/x", "2")],
        ["d 0750 7:8 d opaque", "d 0755 0:0 e opaque", "f 0640 7:8 e/x '2'", "f 0640 7:8 f '1'"],
    ),
    "an opaque directory, early and late": (
        [("f", "a/.wh..wh..opq"), ("d", "a/"), ("d", "b/"), ("f", "b/x", "1"), ("f", "b/.wh..wh..opq")],
        ["d 0750 7:8 a opaque", "d 0750 7:8 b opaque", "f 0640 7:8 b/x '1'"],
    ),
    "whiteouts twice": (
        [("f", ".wh.a"), ("f", ".wh.a"), ("f", "d/.wh..wh..opq"), ("f", "d/.wh..wh..opq")],
        ["whiteout a", "d 0755 0:0 d opaque"],
    ),
    "bookkeeping of AUFS": (
        [("f", ".wh..wh.plnk/1"), ("f", ".wh..wh.aufs"), ("f", "a", "1")],
        ["d 0755 0:0 .wh..wh.plnk", "f 0640 7:8 .wh..wh.plnk/1 ''", "f 0640 7:8 a '1'"],
    ),
    "a whiteout as overlayfs has it": ([("c", "a", "0,0")], ["whiteout a"]),
    "hard links": (
        [("f", "a", "1"), ("h", "b", "a"), ("h", "c", "/b"), ("h", "d", "x/../../a"), ("l", "s", "a"), ("h", "t", "s")],
        ["f 0640 7:8 a '1'", "h b = a", "h c = a", "h d = a", "l 7:8 s -> a", "l 7:8 t -> a"],
    ),
    "a hard link replaces": ([("f", "a", "1"), ("d", "b/"), ("h", "b", "a")], ["f 0640 7:8 a '1'", "h b = a"]),
    "behind a link": (
        [("d", "real/"), ("l", "link", "real"), ("f", "link/f", "1")],
        ["l 7:8 link -> real", "d 0750 7:8 real", "f 0640 7:8 real/f '1'"],
    ),
    "behind links that lead out": (
        [
            ("l", "abs", "/outside"),
            ("f", "abs/victim", "1"),
            ("l", "rel", "../../outside"),
            ("f", "rel/other", "2"),
            ("l", "d/up", "../../../outside"),
            ("f", "d/up/third", "3"),
        ],
        [
            "l 7:8 abs -> /outside",
            "d 0755 0:0 d",
            "l 7:8 d/up -> ../../../outside",
            "d 0755 0:0 outside",
            "f 0640 7:8 outside/other '2'",
            "f 0640 7:8 outside/third '3'",
            "f 0640 7:8 outside/victim '1'",
            "l 7:8 rel -> ../../outside",
        ],
    ),
    "a link in place of a directory that was written to": (
        [("d", "a/"), ("f", "a/f", "1"), ("l", "a", "../outside"), ("f", "a/victim", "2")],
        ["l 7:8 a -> ../outside", "d 0755 0:0 outside", "f 0640 7:8 outside/victim '2'"],
    ),
    "hard links behind links": (
        [("d", "real/"), ("f", "real/f", "1"), ("l", "link", "/real"), ("h", "link/g", "link/f")],
        ["l 7:8 link -> /real", "d 0750 7:8 real", "f 0640 7:8 real/f '1'", "h real/g = real/f"],
    ),
}


@pytest.mark.parametrize(("members", "tree"), TREES.values(), ids=TREES)
def test_a_layer_becomes_an_overlayfs_directory(layer: Path, members: list[tuple[str, ...]], tree: list[str]) -> None:
    unpack(layer, *(member(*fields) for fields in members))
    assert listing(layer) == tree
    assert [path.read_text() for path in (layer.parent / "outside").iterdir()] == ["safe"]


REFUSED: dict[str, tuple[list[tuple[str, ...]], type[ImageError], str]] = {
    "a hard link to what is not there": (
        [("h", "b", "a")],
        MemberRefused,
        "archive member `b` is a hard link to `a`, which the archive does not hold",
    ),
    "a hard link to the outside": (
        [("h", "b", "../outside/victim")],
        MemberRefused,
        "archive member `b` is a hard link to `../outside/victim`, which the archive does not hold",
    ),
    "a hard link through a link": (
        [("l", "l", "/../outside"), ("h", "b", "l/victim")],
        MemberRefused,
        "archive member `b` is a hard link to `l/victim`, which the archive does not hold",
    ),
    "a hard link to a directory": ([("d", "a/"), ("h", "b", "a")], MemberFailed, "cannot extract archive member `b`"),
    "a hard link to itself": (
        [("f", "a", "1"), ("h", "a", "a")],
        MemberRefused,
        "archive member `a` is a hard link to `a`, which the archive does not hold",
    ),
    "behind a file": (
        [("f", "a", "1"), ("f", "a/b", "2")],
        MemberRefused,
        "archive member `a/b` lies behind `a`, which is not a directory",
    ),
    "behind a loop": (
        [("l", "a", "b"), ("l", "b", "a"), ("f", "a/f", "1")],
        MemberRefused,
        "archive member `a/f` lies behind too many symbolic links",
    ),
    "a whiteout of nothing": ([("f", ".wh.")], MemberRefused, "archive member `.wh.` is a whiteout of nothing"),
    "a whiteout of the directory": (
        [("f", "a/.wh.."), ("d", "a/")],
        MemberRefused,
        "archive member `a/.wh..` is a whiteout of nothing",
    ),
    "a whiteout of the parent": (
        [("f", "a/.wh...")],
        MemberRefused,
        "archive member `a/.wh...` is a whiteout of nothing",
    ),
    "an unknown type": ([("Z", "z")], MemberRefused, "archive member `z` is of a type that cannot be unpacked: `Z`"),
    "a contiguous file": ([("7", "z")], MemberRefused, "archive member `z` is of a type that cannot be unpacked: `7`"),
    "a name too long for Linux": ([("f", "n" * 256)], MemberFailed, f"cannot extract archive member `{'n' * 256}`"),
    "a path too long for Linux": (
        [("f", "d/" * 3000)],
        MemberRefused,
        f"archive member `{'d/' * 30}...` has a name of more than 4095 bytes",
    ),
    "an empty target": ([("l", "a", "")], MemberFailed, "cannot extract archive member `a`"),
}


@pytest.mark.parametrize(("members", "kind", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_unpacked_is_named(
    layer: Path, members: list[tuple[str, ...]], kind: type[ImageError], message: str
) -> None:
    with pytest.raises(kind) as caught:
        unpack(layer, *(member(*fields) for fields in members))
    assert caught.value.message == message
    assert not [thread for thread in threading.enumerate() if thread.name == "layer-read"]
    assert (layer.parent / "outside/victim").stat().st_nlink == 1


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """450, beside those that other tests in this process have left open."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    in_use = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + 450, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("few_descriptors")
def test_a_very_deep_path_is_fine(layer: Path) -> None:
    deep = "d/" * 1100 + "f"
    try:
        unpack(
            layer,
            member("f", deep, "1"),
            member("f", "x", "2"),
            member("f", deep[:-1] + "g", "3"),
            member("h", "h", deep),
        )
        assert pack(str(layer), io.BytesIO()).entries == 1104
    finally:
        subprocess.run(["rm", "-rf", layer / "d"], check=True)  # too deep for pytest's own cleaning


@pytest.mark.usefixtures("few_descriptors")
def test_more_directories_than_may_be_open(layer: Path) -> None:
    names = [f"d{number}/sub/f" for number in range(600)]
    unpack(layer, *(member("f", name) for name in names), *(member("h", f"x/{name}", name) for name in names[::-1]))
    assert len(list(layer.glob("*/sub/f"))) == 600


def test_implied_parents_are_reported(layer: Path) -> None:
    unpacked = unpack(layer, member("f", "a/b/f"), member("d", "c/"), member("f", "c/f"))
    assert unpacked.implied == ("a", "a/b")


@pytest.mark.parametrize("inherited", ["set-group-ID", "access list"])
def test_what_the_target_hands_down_does_not_reach_the_layer(layer: Path, inherited: str) -> None:
    if inherited == "access list":
        entries = [(1, 7, NO_ID), (4, 1, NO_ID), (16, 1, NO_ID), (32, 1, NO_ID)]
        acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
        os.setxattr(layer, "system.posix_acl_default", acl)
    else:
        os.chown(layer, 0, 77)
        layer.chmod(0o2755)
    unpack(layer, member("f", "d/f", "1", mode=0o664, owner=(0, 0)), member("f", "g", "2", mode=0o6755, owner=(0, 0)))
    assert listing(layer) == ["d 0755 0:0 d", "f 0664 0:0 d/f '1'", "f 6755 0:0 g '2'"]


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_the_umask_does_not_matter(layer: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        unpack(layer, *(member("f", f"{mode:o}", "", mode=mode, owner=(0, 0)) for mode in (0o666, 0o777, 0o4755, 0)))
    finally:
        os.umask(before)
    assert [line.split()[1] for line in listing(layer)] == ["0000", "4755", "0666", "0777"]


def test_a_sparse_file_keeps_its_holes(layer: Path) -> None:
    pax = {"GNU.sparse.numblocks": "2", "GNU.sparse.size": str(8 << 20), "GNU.sparse.map": f"4096,4,{4 << 20},3"}
    unpack(layer, member("f", "s", "abcdefg", pax=pax), member("f", "after", "1"))
    content = (layer / "s").read_bytes()
    assert (content[4096:4100], content[4 << 20 : (4 << 20) + 3], len(content)) == (b"abcd", b"efg", 8 << 20)
    assert (layer / "s").stat().st_blocks * 512 < 1 << 20


def test_the_diff_id_covers_all_bytes_and_is_checked(layer: Path) -> None:
    data = tar(member("f", "a", "1")) + bytes(3 << 20) + b"garbage"
    unpacked = unpack_layer(io.BytesIO(gzip.compress(data)), str(layer))
    assert unpacked.size == len(data)
    (layer / "a").unlink()
    with pytest.raises(DiffIDMismatch, match="layer abc does not hold what the image says"):
        unpack_layer(io.BytesIO(data[:-1]), str(layer), expected_diff_id=unpacked.diff_id, what="layer abc")


def test_an_error_of_the_source_is_not_blamed_on_a_member(layer: Path) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() >= 1000:
                raise ConnectionResetError("gone")
            return super().read(min(size or 0, 100))

    with pytest.raises(ArchiveUnreadable, match="cannot read layer") as caught:
        unpack_layer(Broken(tar(member("f", "a", "1" * 5000))), str(layer))
    assert caught.value.cause == "gone"


def test_a_layer_that_ends_early_is_an_error(layer: Path) -> None:
    with pytest.raises(BadArchive, match="layer is not a valid tar at member `a`"):
        unpack_layer(io.BytesIO(tar(member("f", "a", "1" * 5000))[:2000]), str(layer))


def test_a_hard_link_to_a_whiteout_is_refused(layer: Path) -> None:
    with pytest.raises(MemberRefused, match="which the archive does not hold"):
        unpack(layer, member("f", ".wh.a"), member("h", "b", "a"))


def test_a_member_replaces_the_link_that_its_name_leads_through(layer: Path) -> None:
    unpack(layer, member("l", "d", "/"), member("l", "d/d", "/elsewhere"))
    assert listing(layer) == ["l 7:8 d -> /elsewhere"]
