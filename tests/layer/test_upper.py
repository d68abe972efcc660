"""Steps run on a real overlayfs; the expected layers are those that BuildKit made of the same commands."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.layer.pack import pack
from builder.layer.upper import UpperTooDeep, prune_upper
from builder.layer.view import MergedView
from builder.rooted.removing import remove_path
from tests.rooted.deep import make_deep

pytestmark = pytest.mark.root

LOWER = """
mkdir -p etc/apt/conf etc/apt/keys usr/bin usr/share/doc tmp
echo list > etc/apt/sources; echo c > etc/apt/conf/c; echo root > etc/passwd; echo issue > etc/issue
echo tool > usr/bin/tool; chmod 755 usr/bin/tool; ln -s tool usr/bin/link; chmod 1777 tmp; mkfifo usr/pipe
touch -d @1600000000 usr/bin/tool etc/passwd; touch -hd @1600000000 usr/bin/link
"""

STEPS: dict[str, tuple[str, list[str]]] = {
    "nothing": ("true", []),
    "a file that came and went": ("echo x > tmp/x; rm tmp/x; mkdir new; rmdir new", []),
    "the same attributes again": (
        "chown -R 0:0 usr; chmod 755 usr/bin/tool usr/bin; touch -d @1600000000 etc/passwd",
        [],
    ),
    "the same content again, at another time": ("cat etc/passwd > p; cat p > etc/passwd; rm p", ["etc", "etc/passwd"]),
    "the same size and time, another content": (
        "echo toot > etc/passwd; touch -d @1600000000 etc/passwd",
        ["etc", "etc/passwd"],
    ),
    "a mode": ("chmod 700 usr/bin/tool", ["usr", "usr/bin", "usr/bin/tool"]),
    "the mode of a directory": ("chmod 700 usr/bin", ["usr", "usr/bin"]),
    "the time of a directory": ("touch -d @1 usr/bin", []),
    "new directories are not opaque": ("mkdir -p a/b; echo x > a/b/x", ["a", "a/b", "a/b/x"]),
    "a new directory in an old one": ("mkdir usr/lib; echo x > usr/lib/x", ["usr", "usr/lib", "usr/lib/x"]),
    "removal": ("rm -r etc/issue usr/share", ["etc", "etc/.wh.issue", "usr", "usr/.wh.share"]),
    "a directory made anew": (
        "rm -r etc/apt; mkdir etc/apt; echo n > etc/apt/new",
        ["etc", "etc/apt", "etc/apt/.wh.conf", "etc/apt/.wh.keys", "etc/apt/new", "etc/apt/.wh.sources"],
    ),
    "a directory made anew, and one in it": (
        "rm -r etc/apt; mkdir -p etc/apt/conf; echo n > etc/apt/conf/new",
        [
            "etc",
            "etc/apt",
            "etc/apt/conf",
            "etc/apt/conf/.wh.c",
            "etc/apt/conf/new",
            "etc/apt/.wh.keys",
            "etc/apt/.wh.sources",
        ],
    ),
    "a directory made anew as it was, but empty": (
        "rm -r etc/apt; mkdir -p etc/apt/conf etc/apt/keys; echo c > etc/apt/conf/c",
        ["etc", "etc/apt", "etc/apt/conf", "etc/apt/conf/c", "etc/apt/.wh.sources"],
    ),
    "a file over a directory": ("rm -r etc/apt; echo x > etc/apt", ["etc", "etc/apt"]),
    "a directory over a file": (
        "rm etc/issue; mkdir etc/issue; echo x > etc/issue/x",
        ["etc", "etc/issue", "etc/issue/x"],
    ),
    "a directory moved": (
        "cp -a etc/apt tmp/apt; rm -r etc/apt; mv tmp/apt opt",
        ["etc", "etc/.wh.apt", "opt", "opt/conf", "opt/conf/c", "opt/keys", "opt/sources"],
    ),
    "a link and a pipe touched": (
        "touch -h usr/bin/link; chmod 600 usr/pipe",
        ["usr", "usr/bin", "usr/bin/link", "usr/pipe"],
    ),
    "a link to a file below": ("ln usr/bin/tool usr/bin/same", ["usr", "usr/bin", "usr/bin/same"]),
    "everything removed": ("rm -rf etc usr tmp", [".wh.etc", ".wh.tmp", ".wh.usr"]),
}


@pytest.fixture
def lower(tmp_path: Path) -> Path:
    (tmp_path / "lower").mkdir()
    subprocess.run(["sh", "-ec", LOWER], cwd=tmp_path / "lower", check=True)
    return tmp_path / "lower"


@pytest.fixture
def merged(lower: Path, tmp_path: Path) -> Iterator[Path]:
    for name in ("upper", "work", "merged"):
        (tmp_path / name).mkdir()
    options = f"lowerdir={lower},upperdir={tmp_path}/upper,workdir={tmp_path}/work,redirect_dir=off,metacopy=off"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, tmp_path / "merged"], check=True)
    try:
        yield tmp_path / "merged"
    finally:
        subprocess.run(["umount", tmp_path / "merged"], check=False)


@pytest.mark.parametrize(("script", "paths"), STEPS.values(), ids=STEPS)
def test_a_step_gives_the_layer_that_buildkit_makes_of_it(
    lower: Path, merged: Path, tmp_path: Path, script: str, paths: list[str]
) -> None:
    subprocess.run(["sh", "-ec", script], cwd=merged, check=True)
    shown = subprocess.run(
        ["find", ".", "-printf", "%P %M %s %l\n"], cwd=merged, check=True, capture_output=True
    ).stdout
    subprocess.run(["umount", merged], check=True)
    upper = tmp_path / "upper"
    for _ in range(2):  # the second time there is nothing left to do
        prune_upper(str(upper), MergedView([str(lower)]))
        out = io.BytesIO()
        pack(str(upper), out)
        with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
            assert archive.getnames() == paths
    options = f"lowerdir={upper}:{lower}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, merged], check=True)
    again = subprocess.run(
        ["find", ".", "-printf", "%P %M %s %l\n"], cwd=merged, check=True, capture_output=True
    ).stdout
    assert sorted(line for line in again.splitlines() if b" d" not in line) == sorted(
        line for line in shown.splitlines() if b" d" not in line
    )


def test_a_path_that_no_image_can_hold_fails_in_words(tmp_path: Path) -> None:
    (upper := tmp_path / "upper").mkdir()
    make_deep(upper, 100, "n" * 200)
    with pytest.raises(UpperTooDeep) as caught:
        prune_upper(str(upper), MergedView([]))
    assert caught.value.message == f"the step left a path that is too long for an image: `/{'n' * 60}...`"
    remove_path(str(upper))
