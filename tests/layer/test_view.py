"""MergedView against the kernel's own overlayfs, and paths that try to leave it."""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.layer.overlay import make_whiteout, set_opaque, set_owner
from builder.layer.resolution import TooManyLinks, canonical, follow
from builder.layer.tree import Entry
from builder.layer.view import FileTooLarge, MergedView
from tests.layer.trees import dump_tree, make_tree

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def mounted(layers: list[str], scratch: str) -> Iterator[str]:
    """The layers, bottom first, mounted read-only; an empty one is added below, for overlayfs wants at least two."""
    target, bottom = f"{scratch}/mnt", f"{scratch}/bottom"
    os.mkdir(target)
    os.mkdir(bottom)
    options = "lowerdir=" + ":".join([*reversed(layers), bottom])
    assert _libc.mount(b"overlay", target.encode(), b"overlay", 1, options.encode()) == 0, os.strerror(
        ctypes.get_errno())
    try:
        yield target
    finally:
        _libc.umount2(target.encode(), 2)


NAMES = st.sampled_from(["a", "b", "c"])
NODES = st.recursive(
    st.one_of(
        st.tuples(st.just("file"), st.sampled_from([0o644, 0o755]), st.sampled_from([0, 7])),
        st.tuples(st.just("link"), st.sampled_from(["a", "../b", "/c", "a/b", "nowhere"])),
        st.tuples(st.just("whiteout")),
    ),
    lambda inner: st.tuples(st.just("dir"), st.sampled_from([0o755, 0o711]), st.booleans(),
                            st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
)
LAYERS = st.lists(st.dictionaries(NAMES, NODES, max_size=3), min_size=1, max_size=4)


def make_nodes(directory: str, nodes: dict[str, tuple], label: str) -> None:  # type: ignore[type-arg]
    for name, node in nodes.items():
        path = f"{directory}/{name}"
        match node:
            case ("file", mode, owner):
                Path(path).write_text(f"{label} {name}")
                os.chown(path, owner, owner)
                os.chmod(path, mode)
            case ("link", target):
                os.symlink(target, path)
            case ("whiteout",):
                make_whiteout(path)
            case ("dir", mode, opaque, inner):
                os.mkdir(path)
                make_nodes(path, inner, label)
                os.chmod(path, mode)
                if opaque:
                    set_opaque(path, "trusted")


def describe_mounted(root: str) -> dict[str, tuple[int, int, str]]:
    found = {}
    for directory, directories, files in os.walk(root):
        for name in (*directories, *files):
            path = os.path.join(directory, name)
            try:
                status = os.lstat(path)
            except FileNotFoundError:
                continue  # overlayfs lists whiteouts of directories that it does not merge, but has no such file
            found[os.path.relpath(path, root)] = (status.st_mode, status.st_uid, _content(path, status))
    return found


def _content(path: str, status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(path)
    return Path(path).read_text() if stat.S_ISREG(status.st_mode) else ""


def _content_of(entry: Entry) -> str:
    return _content(f"{entry.root.path}/{entry.path}", entry.stat)


@pytest.mark.root
@settings(max_examples=40, deadline=None)
@given(LAYERS)
def test_shows_what_overlayfs_shows(stack: list[dict[str, tuple]]) -> None:  # type: ignore[type-arg]
    scratch = tempfile.mkdtemp()
    try:
        layers = []
        for number, nodes in enumerate(stack):
            layers.append(f"{scratch}/{number}")
            os.mkdir(layers[-1])
            make_nodes(layers[-1], nodes, str(number))
        view = MergedView(layers)
        walked = {entry.path: (entry.stat.st_mode, entry.stat.st_uid, _content_of(entry))
                  for entry in view.walk("")}
        with mounted(layers, scratch) as target:
            expected = describe_mounted(target)
        assert walked == expected
        assert [entry.path for entry in view.walk("")] == list(walked)
        for path in expected:
            # a fresh view finds one by one what the walk found at once
            entry = MergedView(layers).lstat(path)
            assert entry is not None
            assert (entry.stat.st_mode, entry.stat.st_uid, _content_of(entry)) == expected[path]
            assert [child.path for child in MergedView(layers).children(path)] == sorted(
                other for other in expected if os.path.dirname(other) == path)
    finally:
        shutil.rmtree(scratch)


TREE = """
d 0755 0:0 dir
f 0644 0:0 dir/file "file"
l 0777 0:0 abs -> /dir/file
l 0777 0:0 up -> ../../../dir
l 0777 0:0 dir/back -> ../abs
l 0777 0:0 loop -> loop
l 0777 0:0 ping -> dir/pong
l 0777 0:0 dir/pong -> ../ping
l 0777 0:0 nowhere -> dir/absent/../x
l 0777 0:0 through -> dir/file/x
"""


@pytest.fixture
def view(tmp_path: Path) -> MergedView:
    make_tree(str(tmp_path), TREE)
    return MergedView([str(tmp_path)])


@pytest.mark.parametrize(("path", "expected"), [
    ("", ""),
    ("/", ""),
    ("/dir//./file/", "dir/file"),
    ("abs", "dir/file"),
    ("up/file", "dir/file"),
    ("dir/back", "dir/file"),
    ("../../dir/../up/../dir/file", "dir/file"),
    ("nowhere", "dir/x"),
    ("dir/absent/../../../../etc/passwd", "etc/passwd"),
    ("absent/x/y", "absent/x/y"),
    ("through", "dir/file/x"),
])
def test_paths_stay_inside(view: MergedView, path: str, expected: str) -> None:
    assert canonical(view.lstat, path) == expected
    found = view.resolve(path)
    assert (found.path if found else None) == (expected if view.lstat(expected) else None)


@pytest.mark.parametrize("path", ["loop", "loop/x", "ping", "dir/pong/x"])
def test_loops_end(view: MergedView, path: str) -> None:
    with pytest.raises(TooManyLinks, match="leads through too many links"):
        follow(view, path)
    assert view.resolve(path) is None
    assert view.children(path + "/") == []


def test_last_link_is_not_followed(view: MergedView) -> None:
    entry = view.lstat("up")
    assert entry is not None and entry.is_link
    assert view.read_link("up") == "../../../dir"
    assert view.read_link("dir") is None
    assert view.children("up") == [] and list(view.walk("up")) == []


def test_read_file(view: MergedView) -> None:
    assert view.read_file("abs") == b"file"
    assert view.read_file("dir") is None
    assert view.read_file("absent") is None
    with pytest.raises(FileTooLarge):
        view.read_file("abs", limit=3)


def test_no_layers_is_an_empty_tree() -> None:
    view = MergedView([])
    assert view.lstat("") is None and view.lstat("a") is None
    assert view.children("") == [] and list(view.walk("")) == []


def test_names_sort_by_their_bytes(tmp_path: Path) -> None:
    names = [b"a", b"B", b"\xff", b"\xc3\xa9", b"\xf0\x9f\x90\x8d", b"a.b", b"a-b"]
    for name in names:
        (tmp_path / os.fsdecode(name)).touch()
    (tmp_path / "dir").mkdir()
    view = MergedView([str(tmp_path)])
    assert [os.fsencode(entry.path) for entry in view.walk("")] == sorted([*names, b"dir"])


@pytest.mark.root
def test_names_of_one_file_share_their_inode(tmp_path: Path) -> None:
    (tmp_path / "lower").mkdir()
    (tmp_path / "upper").mkdir()
    make_tree(str(tmp_path / "lower"), 'd 0755 0:0 d\nf 0644 0:0 d/a "x"\nh d/b = d/a')
    make_tree(str(tmp_path / "upper"), 'd 0755 0:0 d\nf 0644 0:0 d/a "y"')
    lower = MergedView([str(tmp_path / "lower")])
    assert list(dump_tree(lower)) == ["d 0755 0:0 d", 'f 0644 0:0 d/a "x"', "h d/b = d/a"]
    merged = MergedView([str(tmp_path / "lower"), str(tmp_path / "upper")])
    assert list(dump_tree(merged)) == ["d 0755 0:0 d", 'f 0644 0:0 d/a "y"', 'f 0644 0:0 d/b "x"']


def test_recorded_owners_are_believed(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_text("text")
    (tmp_path / "d").chmod(0o2750)
    (tmp_path / "d/f").chmod(0o4711)
    set_owner(str(tmp_path / "d"), 5, 6)
    set_owner(str(tmp_path / "d/f"), 7, 8)
    (tmp_path / "d/g").write_text("text")
    view = MergedView([str(tmp_path)], recorded_owners=True)
    directory, file, other = view.walk("")
    assert (directory.stat.st_mode, directory.stat.st_uid, directory.stat.st_gid) == (stat.S_IFDIR | 0o2750, 5, 6)
    assert (file.stat.st_mode, file.stat.st_uid, file.stat.st_gid) == (stat.S_IFREG | 0o4711, 7, 8)
    assert other.stat == os.lstat(tmp_path / "d/g")
    plain = os.lstat(tmp_path / "d/f")
    for name in ("st_ino", "st_dev", "st_size", "st_nlink", "st_mtime_ns", "st_ctime_ns", "st_blocks", "st_rdev"):
        assert getattr(file.stat, name) == getattr(plain, name)
