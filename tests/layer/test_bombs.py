"""Small archives that say of themselves that they are large."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest

from builder.errors import UsageError
from builder.layer.extract import MemberFailed, TooManyHoles
from builder.layer.memberpaths import MemberRefused
from builder.layer.unpack import unpack_layer
from tests.layer.tars import listing, member, tar

pytestmark = pytest.mark.root


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    (folder := tmp_path / "layer").mkdir()
    return folder


def unpack(layer: Path, *members: object) -> None:
    unpack_layer(io.BytesIO(tar(*members)), str(layer))  # type: ignore[arg-type]


GIB = 1 << 30
SPARSE: dict[str, dict[str, str]] = {
    "format 0.1": {"GNU.sparse.numblocks": "1", "GNU.sparse.size": str(300 * GIB), "GNU.sparse.map": "4096,4"},
    "nothing stored": {"GNU.sparse.numblocks": "0", "GNU.sparse.size": str(300 * GIB), "GNU.sparse.map": ""},
    "renamed": {
        "GNU.sparse.numblocks": "1",
        "GNU.sparse.realsize": str(300 * GIB),
        "GNU.sparse.map": f"{300 * GIB - 4},4",
        "GNU.sparse.name": "bomb",
    },
}


@pytest.mark.parametrize("pax", SPARSE.values(), ids=SPARSE)
def test_a_few_bytes_do_not_become_a_huge_file(layer: Path, pax: dict[str, str]) -> None:
    data = "abcd" if pax["GNU.sparse.numblocks"] == "1" else ""
    with pytest.raises(TooManyHoles) as caught:
        unpack(layer, member("f", "bomb", data, pax=pax))
    assert caught.value.message == f"archive member `bomb` is a sparse file of {300 * GIB} bytes"
    assert caught.value.cause == f"the holes of an archive's files may have {16 * GIB} bytes in all"
    assert caught.value.hint == "set BUILDER_SPARSE_LIMIT to a larger number of bytes"
    assert listing(layer) == []


def test_a_huge_file_of_gnu_tar_is_recognised(layer: Path, tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(300 * GIB)
    for form in ("gnu", "pax"):
        command = ["tar", "-C", str(tmp_path), f"--format={form}", "--sparse", "-cf", "-", "huge"]
        data = subprocess.run(command, check=True, capture_output=True).stdout
        assert len(data) <= 10240
        with pytest.raises(TooManyHoles, match="member `huge` is a sparse file"):
            unpack_layer(io.BytesIO(data), str(layer))


def test_holes_are_counted_over_all_members(layer: Path) -> None:
    pax = {"GNU.sparse.numblocks": "0", "GNU.sparse.size": str(6 * GIB), "GNU.sparse.map": ""}
    with pytest.raises(TooManyHoles, match="archive member `c`"):
        unpack(layer, *(member("f", name, pax=pax) for name in "abc"))


def test_the_limit_of_holes_can_be_changed(layer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pax = {"GNU.sparse.numblocks": "1", "GNU.sparse.size": str(GIB), "GNU.sparse.map": "0,4"}
    monkeypatch.setenv("BUILDER_SPARSE_LIMIT", str(GIB - 4))
    unpack(layer, member("f", "s", "abcd", pax=pax))
    monkeypatch.setenv("BUILDER_SPARSE_LIMIT", str(GIB - 5))
    with pytest.raises(TooManyHoles):
        unpack(layer, member("f", "s", "abcd", pax=pax))
    monkeypatch.setenv("BUILDER_SPARSE_LIMIT", "a lot")
    with pytest.raises(UsageError, match="BUILDER_SPARSE_LIMIT is `a lot`, which is not a number of bytes"):
        unpack(layer, member("f", "s", "abcd", pax=pax))


LONG: dict[str, tuple[tuple[str, ...], str]] = {
    "a name": (("f", "n" * 100_000), f"archive member `{'n' * 60}...` has a name of more than 4095 bytes"),
    "a target": (
        ("h", "a", "t/" * 10_000 + "x"),
        f"archive member `a` is a hard link to `{'t/' * 30}...`, which the archive does not hold",
    ),
}


@pytest.mark.parametrize(("fields", "message"), LONG.values(), ids=LONG)
def test_long_names_do_not_make_long_messages(layer: Path, fields: tuple[str, ...], message: str) -> None:
    with pytest.raises(MemberRefused) as caught:
        unpack(layer, member(*fields))
    assert caught.value.message in (message, f"archive member `{'t/' * 30}...` has a name of more than 4095 bytes")


def test_an_attribute_that_no_file_can_have_is_an_error_of_its_member(layer: Path) -> None:
    with pytest.raises(MemberFailed, match="cannot extract archive member `a`"):
        unpack(layer, member("f", "a", pax={"SCHILY.xattr.user.x": "x" * 100_000}))
