"""Results as files: folders and plain tars."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from builder.images.outfile import DestinationRefused
from builder.images.rootfs import Overlap, PlatformFiles, write_folder, write_tar
from builder.layer.view import MergedView
from builder.platforms import parse_platform

AMD64, ARM64 = parse_platform("linux/amd64"), parse_platform("linux/arm64")
T = 1_500_000_000


def result_of(folder: Path, platform: str = "linux/amd64", epoch: int | None = None) -> PlatformFiles:
    return PlatformFiles(platform=parse_platform(platform), tree=MergedView([str(folder)]), epoch=epoch)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "d" / "deep").mkdir(parents=True)
    (root / "d" / "deep").chmod(0o700)
    (root / "f").write_text("x\n")
    (root / "f").chmod(0o640)
    os.link(root / "f", root / "d" / "h")
    (root / "l").symlink_to("f")
    (root / "away").symlink_to("/etc")
    os.mkfifo(root / "p", 0o600)
    os.chmod(root / "f", 0o4755)
    for path in sorted(root.rglob("*"), reverse=True):
        os.utime(path, (T, T), follow_symlinks=False)
    return root


def listing(root: Path) -> dict[str, str]:
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        kind = os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else ""
        found[str(path.relative_to(root))] = f"{stat.filemode(status.st_mode)} {int(status.st_mtime)} {kind}"
    return found


EXPECTED = {
    "away": f"lrwxrwxrwx {T} /etc", "d": f"drwxr-xr-x {T} ", "d/deep": f"drwx------ {T} ",
    "d/h": f"-rwsr-xr-x {T} x\n", "f": f"-rwsr-xr-x {T} x\n", "l": f"lrwxrwxrwx {T} f", "p": f"prw------- {T} ",
}


def test_a_folder_has_modes_times_and_links(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_folder([result_of(tree)], str(out), split=False)
    assert listing(out) == EXPECTED
    assert (out / "f").stat().st_ino == (out / "d" / "h").stat().st_ino
    assert (out / "f").stat().st_ino != (tree / "f").stat().st_ino


def test_the_epoch_is_everythings_time(tree: Path, tmp_path: Path) -> None:
    write_folder([result_of(tree, epoch=7)], str(tmp_path / "out"), split=False)
    assert {line.split()[1] for line in listing(tmp_path / "out").values()} == {"7"}


def test_what_is_there_stays_or_gives_way(tree: Path, tmp_path: Path) -> None:
    out, outside = tmp_path / "out", tmp_path / "outside"
    outside.mkdir()
    (outside / "h").write_text("mine")
    out.mkdir()
    (out / "kept").write_text("kept")
    (out / "f").mkdir()
    (out / "f" / "inner").write_text("gone")
    (out / "d").symlink_to(outside)
    (out / "l").write_text("a file where a link is to be")
    write_folder([result_of(tree)], str(out), split=False)
    assert (outside / "h").read_text() == "mine"
    kept = listing(out)
    assert kept.pop("kept").endswith("kept")
    assert kept == EXPECTED
    write_folder([result_of(tree)], str(out), split=False, delete=True)
    assert listing(out) == EXPECTED


@pytest.mark.parametrize("dest", ["/", "~"])
def test_nobody_loses_their_home(tree: Path, dest: str) -> None:
    with pytest.raises(DestinationRefused):
        write_folder([result_of(tree)], os.path.expanduser(dest), split=False, delete=True)


def test_platforms_get_folders_of_their_own(tree: Path, tmp_path: Path) -> None:
    both = [result_of(tree), result_of(tree, "linux/arm/v6")]
    write_folder(both, str(tmp_path / "out"), split=True)
    assert sorted(os.listdir(tmp_path / "out")) == ["linux_amd64", "linux_arm_v6"]
    assert listing(tmp_path / "out" / "linux_arm_v6") == EXPECTED
    with pytest.raises(Overlap, match="cannot overwrite `away` from linux/amd64 with that of linux/arm/v6"):
        write_folder(both, str(tmp_path / "flat"), split=False)


def test_a_tar_has_everything(tree: Path) -> None:
    out = io.BytesIO()
    write_tar([result_of(tree)], out, split=False)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
        found = {m.name: (m.type, m.mode, m.linkname, int(m.mtime)) for m in tar}
        assert tar.extractfile("f").read() == b"x\n"  # type: ignore[union-attr]
    assert found == {
        "away": (b"2", 0o777, "/etc", T), "d": (b"5", 0o755, "", T), "d/deep": (b"5", 0o700, "", T),
        "d/h": (b"0", 0o4755, "", T), "f": (b"1", 0o4755, "d/h", T), "l": (b"2", 0o777, "f", T),
        "p": (b"6", 0o600, "", T),
    }


def test_a_tar_of_platforms(tree: Path) -> None:
    out = io.BytesIO()
    write_tar([result_of(tree), result_of(tree, "linux/arm64", epoch=7)], out, split=True)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
        names = {m.name: int(m.mtime) for m in tar}
        assert tar.getmember("linux_arm64/f").linkname == "linux_arm64/d/h"
    assert names["linux_amd64/f"] == T
    assert names["linux_arm64"] == names["linux_arm64/d/deep"] == 7


@pytest.mark.root
def test_owners_stay_in_a_tar_and_go_in_a_folder(tree: Path, tmp_path: Path) -> None:
    os.chown(tree / "f", 1234, 4321)
    out = io.BytesIO()
    write_tar([result_of(tree)], out, split=False)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
        assert (tar.getmember("f").uid, tar.getmember("f").gid) == (1234, 4321)
    write_folder([result_of(tree)], str(tmp_path / "out"), split=False)
    assert (tmp_path / "out" / "f").stat().st_uid == os.geteuid()


# -- what others may do with it ------------------------------------------------------------------------------------


def test_a_new_folder_is_for_its_owner_alone_and_an_existing_one_stays_as_it_is(tree: Path, tmp_path: Path) -> None:
    write_folder([result_of(tree)], str(tmp_path / "new" / "out"), split=False)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("new", "new/out")] == [0o700, 0o700]
    (tmp_path / "mine").mkdir(0o755)
    (tmp_path / "linked").symlink_to("mine")
    write_folder([result_of(tree)], str(tmp_path / "linked"), split=False)
    assert stat.S_IMODE((tmp_path / "mine").stat().st_mode) == 0o755
    assert listing(tmp_path / "mine") == EXPECTED


# -- extended attributes -------------------------------------------------------------------------------------------

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
OF_A_NAMESPACE = bytes.fromhex("0100000300040000000000000000000000000000") + b"\xe8\x03\x00\x00"


@pytest.fixture
def attributed(tree: Path) -> Path:
    """The tree with attributes of the image's and of the store's; the capability is one that a user namespace set."""
    os.setxattr(tree / "f", "user.hello", b"two\nlines\0")
    os.setxattr(tree / "f", "security.capability", OF_A_NAMESPACE)
    os.setxattr(tree / "d", "user.of.a.directory", b"x")
    os.setxattr(tree / "d", "user.a=b", b"not for pax")
    os.setxattr(tree / "d", "user.builder.owner", b"0:0:755")
    os.setxattr(tree / "d", "user.overlay.origin", b"x")
    (tree / "empty").touch()
    os.setxattr(tree / "empty", "security.capability", CAPABILITY)
    return tree


@pytest.mark.root
def test_a_tar_keeps_the_extended_attributes_of_the_image(attributed: Path) -> None:
    out = io.BytesIO()
    write_tar([result_of(attributed)], out, split=False)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue()), errors="surrogateescape") as tar:
        found = {m.name: {key.removeprefix("SCHILY.xattr."): value.encode("utf-8", "surrogateescape")
                          for key, value in m.pax_headers.items()} for m in tar}
    assert {name: xattrs for name, xattrs in found.items() if xattrs} == {
        "d": {"user.of.a.directory": b"x"},
        "d/h": {"security.capability": CAPABILITY, "user.hello": b"two\nlines\0"},
        "empty": {"security.capability": CAPABILITY},
    }


@pytest.mark.root
def test_a_folder_keeps_the_extended_attributes_of_the_image(attributed: Path, tmp_path: Path) -> None:
    write_folder([result_of(attributed)], str(tmp_path / "out"), split=False)
    found = {name: {key: os.getxattr(tmp_path / "out" / name, key) for key in os.listxattr(tmp_path / "out" / name)}
             for name in ("f", "d", "empty")}
    assert found == {
        "f": {"user.hello": b"two\nlines\0", "security.capability": CAPABILITY},
        "d": {"user.of.a.directory": b"x", "user.a=b": b"not for pax"},
        "empty": {"security.capability": CAPABILITY},
    }
