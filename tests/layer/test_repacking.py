"""A layer that is unpacked and packed again is the same layer."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.layer.overlay import make_whiteout, set_opaque
from builder.layer.pack import pack
from builder.layer.unpack import unpack_layer
from tests.layer.tars import member, tar

pytestmark = pytest.mark.root


def test_owners_that_chown_refuses_are_kept_for_packing(tmp_path: Path) -> None:
    """A user namespace with a single id refuses all others."""
    data = tar(
        member("d", "d/", mode=0o755),
        member("f", "d/f", "1", mode=0o4711, owner=(33, 44)),
        member("l", "d/l", "f"),
        member("c", "d/null", "1,3"),
    )
    (tmp_path / "in.tar").write_bytes(data)
    (tmp_path / "layer").mkdir()
    subprocess.run(
        ["unshare", "--user", "--map-root-user", sys.executable, "-c", IN_NAMESPACE],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=True,
    )
    with tarfile.open(tmp_path / "out.tar") as archive:
        found = {m.name: (m.uid, m.gid, m.mode) for m in archive}
    assert found == {"d": (7, 8, 0o755), "d/f": (33, 44, 0o4711), "d/l": (0, 0, 0o777)}


IN_NAMESPACE = """
from builder.layer.pack import pack
from builder.layer.unpack import unpack_layer
with open("in.tar", "rb") as source, open("out.tar", "wb") as sink:
    unpacked = unpack_layer(source, "layer", xattr_prefix="user", on_chown_error="record")
    assert unpacked.skipped == ("d/null",), unpacked
    pack("layer", sink)
"""


kinds = st.sampled_from(["f", "d", "l", "h", "p", "whiteout"])
names = st.text(alphabet="abä ", min_size=1, max_size=120).filter(lambda name: name.strip())
trees = st.lists(
    st.tuples(kinds, names, st.integers(0, 30), st.integers(0, 0o7777), st.integers(0, 2**33)), max_size=25
)


@settings(max_examples=60, deadline=None)
@given(tree=trees)
def test_packing_after_unpacking_gives_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, tree: list[tuple]
) -> None:
    first = tmp_path_factory.mktemp("first")
    build(first, tree)
    once, again = io.BytesIO(), io.BytesIO()
    packed = pack(str(first), once)
    second = tmp_path_factory.mktemp("second")
    unpacked = unpack_layer(io.BytesIO(once.getvalue()), str(second), expected_diff_id=packed.blob.diff_id)
    pack(str(second), again)
    assert again.getvalue() == once.getvalue()
    assert unpacked.implied == unpacked.skipped == ()


def build(root: Path, tree: list[tuple[str, str, int, int, int]]) -> None:
    """A layer directory; each entry goes into one of the directories made so far."""
    directories, files = [root], []
    for kind, name, where, mode, time in tree:
        path = directories[where % len(directories)] / name
        if os.path.lexists(path):
            continue
        if kind == "d":
            path.mkdir()
            directories.append(path)
            if mode & 1:
                set_opaque(str(path), "trusted")
        elif kind == "l":
            os.symlink(name * 2, path)
        elif kind == "h" and files:
            os.link(files[where % len(files)], path)
        elif kind == "p":
            os.mkfifo(path)
        elif kind == "whiteout":
            make_whiteout(str(path))
            continue
        else:
            path.write_bytes(name.encode() * mode)
            files.append(path)
        os.chown(path, time % (1 << 22), mode, follow_symlinks=False)
        if kind != "l":
            path.chmod(mode)
        os.utime(path, (time, time), follow_symlinks=False)
    for directory in directories[1:]:
        time = stat.S_IMODE(directory.stat().st_mode)
        os.utime(directory, (time, time))
