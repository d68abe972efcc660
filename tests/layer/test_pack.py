from __future__ import annotations

import gzip
import io
import os
import socket
import tarfile
from pathlib import Path

import pytest

from builder.layer.overlay import make_whiteout, set_opaque, set_owner
from builder.layer.pack import Packed, pack
from builder.layer.unpack import unpack_layer
from builder.layer.walk import LayerChanged, RedirectInLayer, file_pieces, walk_layer
from builder.oci import Compression, MediaType, digest_of

pytestmark = pytest.mark.root
BUILDKIT = sorted((Path(__file__).parents[2] / "testdata/layer/buildkit").glob("*.tar.gz"))
EMPTY = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"


def packed(layer: Path, **options: object) -> tuple[Packed, bytes]:
    out = io.BytesIO()
    return pack(str(layer), out, **options), out.getvalue()  # type: ignore[arg-type]


def members(data: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getmembers()


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    folder = tmp_path / "layer"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("path", BUILDKIT, ids=lambda path: path.name.partition(".")[0])
def test_a_layer_of_buildkit_packs_to_the_bytes_that_buildkit_wrote(path: Path, layer: Path) -> None:
    theirs = gzip.decompress(path.read_bytes())
    unpacked = unpack_layer(io.BytesIO(path.read_bytes()), str(layer))
    result, ours = packed(layer)
    assert ours == theirs
    assert (unpacked.diff_id, unpacked.size) == (result.blob.diff_id, len(theirs))


def test_an_empty_layer_is_buildkits_empty_layer(layer: Path) -> None:
    result, data = packed(layer)
    assert (result.blob.diff_id, result.entries, len(data)) == (EMPTY, 0, 1024)


def test_tarfile_reads_what_was_packed(layer: Path) -> None:
    (layer / "dir").mkdir(mode=0o700)
    (layer / "dir/file").write_bytes(b"x" * 700)
    os.chown(layer / "dir/file", 3_000_000, 5)
    os.chmod(layer / "dir/file", 0o4711)
    os.utime(layer / "dir/file", ns=(0, 1_234_567_890_999_999_999))
    os.link(layer / "dir/file", layer / "dir/also")
    os.symlink("t" * 150, layer / "link")
    os.mknod(layer / "null", 0o020600, os.makedev(1, 3))
    os.mkfifo(layer / "pipe")
    long = "ü" * 120
    (layer / "dir" / long).write_bytes(b"")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(layer / "socket"))
    found = {m.name: m for m in members(packed(layer)[1])}
    assert list(found) == ["dir", "dir/also", "dir/file", f"dir/{long}", "link", "null", "pipe"]
    first, second = found["dir/also"], found["dir/file"]
    assert (first.size, first.mode, first.uid, first.gid) == (700, 0o4711, 3_000_000, 5)
    assert first.mtime == 1_234_567_890
    assert second.islnk() and second.linkname == "dir/also" and second.size == 0
    assert found["link"].linkname == "t" * 150
    assert (found["null"].devmajor, found["null"].devminor) == (1, 3)
    assert all(m.uname == m.gname == "" for m in found.values())


def test_whiteouts_and_opaque_marks_are_written_as_oci_says(layer: Path) -> None:
    (layer / "dir").mkdir()
    (layer / "dir/a").write_text("a")
    (layer / "user").mkdir()
    set_opaque(str(layer / "dir"), "trusted")
    set_opaque(str(layer / "user"), "user")
    make_whiteout(str(layer / "dir/b"))
    os.link(layer / "dir/b", layer / "gone")
    found = members(packed(layer)[1])
    names = ["dir", "dir/.wh..wh..opq", "dir/a", "dir/.wh.b", ".wh.gone", "user", "user/.wh..wh..opq"]
    assert [m.name for m in found] == names
    assert {(m.mode, m.uid, m.mtime, m.size, m.type) for m in found if ".wh." in m.name} == {(0, 0, 0, 0, b"0")}


def test_of_extended_attributes_only_capabilities_leave_and_in_their_portable_form(layer: Path) -> None:
    (layer / "file").write_text("")
    os.setxattr(layer / "file", "user.note", b"n")
    os.setxattr(layer / "file", "trusted.overlay.origin", b"o")
    version_2 = b"\x01\0\0\2" + bytes([0, 4]) + bytes(14)
    os.setxattr(layer / "file", "security.capability", version_2)
    pax = members(packed(layer)[1])[0].pax_headers
    assert {key: value.encode("utf-8", "surrogateescape") for key, value in pax.items()} == {
        "SCHILY.xattr.security.capability": version_2
    }


def test_an_owner_that_chown_refused_is_restored(layer: Path) -> None:
    (layer / "file").write_text("")
    (layer / "file").chmod(0o6755)
    set_owner(str(layer / "file"), 123, 456)
    found = members(packed(layer)[1])[0]
    assert (found.uid, found.gid, found.mode, found.pax_headers) == (123, 456, 0o6755, {})


def test_content_that_overlayfs_keeps_elsewhere_is_refused(layer: Path) -> None:
    (layer / "moved").mkdir()
    os.setxattr(layer / "moved", "trusted.overlay.redirect", b"/elsewhere")
    with pytest.raises(RedirectInLayer, match=r"layer path `moved` carries `trusted.overlay.redirect`"):
        packed(layer)


def test_a_file_that_shrinks_while_it_is_packed_is_an_error(layer: Path) -> None:
    (layer / "log").write_bytes(b"x" * 100)
    (entry,) = walk_layer(str(layer))
    (layer / "log").write_bytes(b"x" * 10)
    buffer = memoryview(bytearray(1000))
    with pytest.raises(LayerChanged, match="layer path `log` became shorter while it was read"):
        list(file_pieces(entry, lambda: buffer))


def test_times_after_the_clamp_become_it(layer: Path) -> None:
    for name, time in (("before", 100), ("after", 10_000)):
        (layer / name).write_text("")
        os.utime(layer / name, (time, time))
    assert {m.name: m.mtime for m in members(packed(layer, clamp_mtime=5000)[1])} == {"after": 5000, "before": 100}


@pytest.mark.parametrize("compression", Compression)
def test_digests_and_size_are_those_of_the_file(layer: Path, tmp_path: Path, compression: Compression) -> None:
    (layer / "file").write_bytes(os.urandom(1000) * 3000)
    blob_file = tmp_path / "blob"
    with blob_file.open("wb") as sink:
        result = pack(str(layer), sink, compression=compression)
    assert result.blob.digest == digest_of(blob_file.read_bytes())
    assert result.blob.size == blob_file.stat().st_size
    assert (
        result.blob.media_type
        is {
            Compression.UNCOMPRESSED: MediaType.OCI_LAYER,
            Compression.GZIP: MediaType.OCI_LAYER_GZIP,
            Compression.ZSTD: MediaType.OCI_LAYER_ZSTD,
        }[compression]
    )
    assert result.blob.diff_id == packed(layer)[0].blob.diff_id


def test_a_layer_is_packed_in_little_memory(layer: Path) -> None:
    with (layer / "hole").open("wb") as file:
        file.truncate(100 << 20)
    import tracemalloc

    tracemalloc.start()
    try:
        with open(os.devnull, "wb") as sink:
            assert pack(str(layer), sink, compression=Compression.GZIP).blob.diff_size > 100 << 20
        assert tracemalloc.get_traced_memory()[1] < 24 << 20
    finally:
        tracemalloc.stop()
