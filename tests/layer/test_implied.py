"""Directories that a layer passes through without describing them; what Docker 28 makes of the same layers."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from builder.layer.implied import inherit_attributes
from builder.layer.unpack import unpack_layer
from builder.layer.view import MergedView
from tests.layer.layer_fuzz import fill, snapshot
from tests.layer.tars import member, tar

pytestmark = pytest.mark.root
FOO = member("d", "foo/", mode=0o4777, owner=(1234, 1234), mtime=1_500_000_000)
SUB = member("d", "foo/sub/", mode=0o711, owner=(5, 6))
FILE = member("f", "file", "1")
LOWER = (FOO, SUB, FILE)


def image(tmp_path: Path, *layers: tuple[object, ...]) -> MergedView:
    dirs: list[str] = []
    for number, members in enumerate(layers):
        os.mkdir(layer := f"{tmp_path}/{number}")
        unpacked = unpack_layer(io.BytesIO(tar(*members)), layer)  # type: ignore[arg-type]
        inherit_attributes(layer, unpacked.implied, dirs)
        dirs.append(layer)
    return MergedView(dirs)


def looks(view: MergedView, path: str) -> str:
    entry = view.lstat(path)
    assert entry is not None
    return f"{entry.stat.st_mode:o} {entry.stat.st_uid}:{entry.stat.st_gid}"


CASES: dict[str, tuple[tuple[object, ...], dict[str, str]]] = {
    "passed through": ((member("f", "foo/sub/new"),), {"foo": "44777 1234:1234", "foo/sub": "40711 5:6"}),
    "a file instead": ((member("f", "foo/.wh.sub"), member("f", "foo", mode=0o600)), {"foo": "100600 7:8"}),
    "a pipe instead": ((member("f", "foo/new"), member("p", "foo", mode=0o600)), {"foo": "10600 7:8"}),
    "a link instead": ((member("f", "foo/new"), member("l", "foo", "file")), {"foo": "120777 7:8"}),
    "a hard link instead": (
        (member("f", "x", mode=0o600), member("f", "foo/new"), member("h", "foo", "x", mode=0o600)),
        {"foo": "100600 7:8", "x": "100600 7:8"},
    ),
    "described later": ((member("f", "foo/new"), member("d", "foo/", mode=0o700)), {"foo": "40700 7:8"}),
    "described before": ((member("d", "foo/", mode=0o700), member("f", "foo/new")), {"foo": "40700 7:8"}),
    "replaced and passed through again": (
        (member("f", "foo/x"), member("f", "foo"), member("d", "foo/", mode=0o700), member("f", "foo/sub/x")),
        {"foo": "40700 7:8", "foo/sub": "40711 5:6"},
    ),
    "gone with what it was in": ((member("f", "foo/sub/x"), member("f", "foo", mode=0o600)), {"foo": "100600 7:8"}),
    "below an opaque directory": (
        (member("f", "foo/.wh..wh..opq"), member("f", "foo/sub/x")),
        {"foo": "44777 1234:1234", "foo/sub": "40711 5:6"},
    ),
    "behind a whiteout": (
        (member("f", ".wh.foo"), member("f", "foo/sub/x")),
        {"foo": "40755 0:0", "foo/sub": "40755 0:0"},
    ),
    "over a file": ((member("f", "file/x"),), {"file": "40755 0:0"}),
    "through a link of this layer": (
        (member("f", "foo/x"), member("l", "foo", "bar"), member("f", "foo/y")),
        {"foo": "120777 7:8", "bar": "40755 0:0"},
    ),
}


@pytest.mark.parametrize(("upper", "expected"), CASES.values(), ids=CASES)
def test_only_what_is_still_implied_looks_like_below(
    tmp_path: Path, upper: tuple[object, ...], expected: dict[str, str]
) -> None:
    view = image(tmp_path, LOWER, upper)
    assert {path: looks(view, path) for path in expected} == expected


def test_the_time_is_that_of_the_directory_below(tmp_path: Path) -> None:
    entry = image(tmp_path, LOWER, (member("f", "foo/new"),)).lstat("foo")
    assert entry is not None and entry.stat.st_mtime_ns == 1_500_000_000 * 10**9


def test_extended_attributes_are_inherited(tmp_path: Path) -> None:
    noted = member("d", "foo/", pax={"SCHILY.xattr.user.note": "v"})
    entry = image(tmp_path, (noted,), (member("f", "foo/new"),)).lstat("foo")
    assert entry is not None and entry.root.getxattr(entry.path, "user.note") == b"v"


@pytest.mark.parametrize(("middle", "expected"), [
    (member("f", ".wh.foo"), "40755 0:0"),
    (member("f", "foo"), "40755 0:0"),
    (member("l", "foo", "other"), "44777 1234:1234"),
    (member("f", "foo/.wh..wh..opq"), "44777 1234:1234"),
    (member("f", "other/x"), "44777 1234:1234"),
])
def test_the_topmost_layer_that_has_the_path_decides(tmp_path: Path, middle: object, expected: str) -> None:
    assert looks(image(tmp_path, LOWER, (middle,), (member("f", "foo/x"),)), "foo") == expected


def test_a_link_of_the_layer_below_is_followed_within_it(tmp_path: Path) -> None:
    view = image(tmp_path, (*LOWER, member("l", "link", "foo")), (member("f", "link/x"),))
    assert looks(view, "link") == "44777 1234:1234"


@pytest.mark.parametrize("target", ["{outside}", "{outside}/b", "../../outside", "../outside/a/c"])
@pytest.mark.parametrize("implied", ["foo", "foo/sub"])
def test_links_that_take_the_place_of_directories_lead_nowhere(tmp_path: Path, target: str, implied: str) -> None:
    fill(outside := tmp_path / "outside")
    before = snapshot(outside)
    link = member("l", "foo", target.format(outside=outside))
    again = () if implied == "foo" else (member("f", "foo/sub/again"),)
    image(tmp_path, LOWER, (member("f", f"{implied}/new"), link, *again))
    assert snapshot(outside) == before
