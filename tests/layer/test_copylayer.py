"""Plans of COPY and WORKDIR: their keys, their errors, and what writing them takes care of."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.context.fingerprints import Fingerprints
from builder.context.local import LocalContext
from builder.errors import BuilderError, Cancelled
from builder.language.ignore import IgnoreRules
from builder.layer.copyfile import SourceChanged
from builder.layer.copylayer import CopyPlan, plan_copy, plan_mkdir, write_inline
from builder.layer.selection import SourceMissing
from builder.layer.tree import FileTree
from builder.layer.users import UnknownUser
from builder.layer.view import MergedView
from builder.plan.vertices import Copy, CopySource, InlineFile, MakeDirectory
from tests.layer.trees import dump_tree, make_tree

pytestmark = pytest.mark.root


def copy(*paths: str, to: str, owner: str | None = None, mode: str = "", link: bool = False, literal: bool = False,
         unpack: bool = False, exclude: tuple[str, ...] = ()) -> Copy:
    return Copy(sources=(CopySource(input=0, paths=paths, literal=literal, unpack=unpack),), destination=to,
                has_parent=True, owner=owner, mode=mode, link=link, exclude=exclude)


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[str], str]:
    """Makes a directory from the text of a tree."""
    def make(text: str = "") -> str:
        path = tmp_path / f"tree{len(list(tmp_path.iterdir()))}"
        path.mkdir()
        make_tree(str(path), text, default_mtime=100)
        return str(path)

    return make


def write(plan: CopyPlan, layer: str, *parents: str) -> list[str]:
    plan.write(layer, parent=MergedView(parents) if parents else None, now_ns=0)
    return list(dump_tree(MergedView([*parents, layer])))


def keys(plan: CopyPlan) -> dict[str, object]:
    return plan.key_parts(Fingerprints(b"secret"))


# -- keys ----------------------------------------------------------------------------------------------------------

CONTEXT = """
d 0755 0:0 d
f 0644 0:0 d/f "text"
l 0777 0:0 d/l -> f
d 0755 0:0 d/e
"""
SAME_RESULT = ["f 0644 0:0 other", "f 0644 5:6 d/f"]


@pytest.mark.parametrize(("change", "differs"), [
    (lambda root: os.utime(f"{root}/d/f", (5, 5)), False),
    (lambda root: os.utime(f"{root}/d", (5, 5)), False),
    (lambda root: os.chown(f"{root}/d/f", 5, 6), False),
    (lambda root: os.setxattr(f"{root}/d/f", "user.note", b"x"), False),
    (lambda root: Path(f"{root}/other").touch(), False),
    (lambda root: os.chmod(f"{root}/d", 0o700), False),
    (lambda root: os.chmod(f"{root}/d/f", 0o600), True),
    (lambda root: os.chmod(f"{root}/d/e", 0o700), True),
    (lambda root: Path(f"{root}/d/f").write_text("texT"), True),
    (lambda root: os.mkdir(f"{root}/d/new"), True),
    (lambda root: os.rmdir(f"{root}/d/e"), True),
    (lambda root: os.rename(f"{root}/d/f", f"{root}/d/g"), True),
    (lambda root: (os.unlink(f"{root}/d/l"), os.symlink("g", f"{root}/d/l")), True),
    (lambda root: (os.unlink(f"{root}/d/l"), os.link(f"{root}/d/f", f"{root}/d/l")), True),
])
def test_key_of_what_is_taken(tree: Callable[[str], str], change: Callable[[str], object], differs: bool) -> None:
    root = tree(CONTEXT)
    before = keys(plan_copy(copy("d", to="/x/"), [LocalContext(root)], None))
    change(root)
    after = keys(plan_copy(copy("d", to="/x/"), [LocalContext(root)], None))
    assert (before != after) is differs
    assert {name for name in before if before[name] != after[name]} <= {"files"}


def test_equal_bytes_under_another_name_are_another_copy(tree: Callable[[str], str]) -> None:
    root = tree('f 0644 0:0 a "same"\nf 0644 0:0 b "same"\nd 0755 0:0 d\nf 0644 0:0 d/a "same"')
    a, b, nested = (plan_copy(copy(path, to="/x"), [LocalContext(root)], None) for path in ("a", "b", "d/a"))
    assert keys(a) != keys(b)
    assert keys(a) == keys(nested)


def test_owners_and_capabilities_of_images_count(tree: Callable[[str], str]) -> None:
    op = copy("f", to="/x")
    plain, owned, capable = (keys(plan_copy(op, [MergedView([tree(f'f 0644 {line}')])], None))
                             for line in ('0:0 f "x"', '5:0 f "x"', '0:0 f "x" cap'))
    assert plain["files"] != owned["files"] != capable["files"] != plain["files"]


@pytest.mark.parametrize(("parent", "facts"), [
    ("", {"": "directory 0755 0:0", "a": "absent", "a/b": "absent"}),
    ("d 0700 3:4 a", {"": "directory 0755 0:0", "a": "directory 0700 3:4", "a/b": "absent"}),
    ("d 0700 3:4 c\nl 0777 0:0 a -> c", {"": "directory 0755 0:0", "c": "directory 0700 3:4", "c/b": "absent"}),
    ('d 0755 0:0 a\nd 0755 0:0 a/b\nf 0644 0:0 a/b/f "old"\nd 0755 0:0 z',
     {"": "directory 0755 0:0", "a": "directory 0755 0:0", "a/b": "directory 0755 0:0"}),
])
def test_facts_about_the_parent(tree: Callable[[str], str], parent: str, facts: dict[str, str]) -> None:
    context, below = tree('f 0644 0:0 f "x"'), tree(parent)
    assert keys(plan_copy(copy("f", to="/a/b/"), [LocalContext(context)], MergedView([below])))["parent"] == facts


def test_the_key_of_a_linked_copy_knows_no_parent(tree: Callable[[str], str]) -> None:
    context, below = tree('f 0644 0:0 f "x"'), tree("d 0700 3:4 a")
    op = copy("f", to="/a/b/", link=True)
    assert keys(plan_copy(op, [LocalContext(context)], MergedView([below]))) == keys(
        plan_copy(op, [LocalContext(context)], None))


def test_a_name_counts_by_its_number(tree: Callable[[str], str]) -> None:
    context = tree('f 0644 0:0 f "x"')
    passwd = 'd 0755 0:0 etc\nf 0644 0:0 etc/passwd "app:x:5:6\\n'
    first, same, other = (keys(plan_copy(copy("f", to="/x", owner="app"), [LocalContext(context)],
                                         MergedView([tree(passwd + line)]))) for line in ('"', 'b:x:7:8\\n"', '"'))
    assert first == same == other
    assert first["owner"] == (5, 6)


def test_workdir_keys(tree: Callable[[str], str]) -> None:
    op = MakeDirectory(path="/a/b", user="7")
    absent, there = tree(), tree("d 0755 0:0 a\nd 0755 0:0 a/b")
    assert plan_mkdir(op, MergedView([absent])).key_parts() == {
        "path": "/a/b", "owner": (7, 7), "parent": {"": "directory 0755 0:0", "a": "absent", "a/b": "absent"}}
    assert plan_mkdir(op, MergedView([there])).key_parts()["parent"] == {
        "": "directory 0755 0:0", "a": "directory 0755 0:0 unchanged", "a/b": "directory 0755 0:0 unchanged"}


def test_manifest_says_which_file_differs(tree: Callable[[str], str]) -> None:
    root = tree(CONTEXT)
    before = dict(plan_copy(copy("d", to="/x/"), [LocalContext(root)], None).manifest(Fingerprints(b"s")))
    os.chmod(f"{root}/d/e", 0o700)
    after = dict(plan_copy(copy("d", to="/x/"), [LocalContext(root)], None).manifest(Fingerprints(b"s")))
    assert list(before) == ["d", "d/e", "d/f", "d/l"]
    assert {path for path in before if before[path] != after[path]} == {"d/e"}


# -- errors --------------------------------------------------------------------------------------------------------


def test_missing_sources(tree: Callable[[str], str]) -> None:
    root = tree('d 0755 0:0 dist\nf 0644 0:0 dist/app.js "x"\nf 0644 0:0 setup.py "x"')
    context = LocalContext(root, IgnoreRules.parse("# built\n\ndist\n"))
    with pytest.raises(SourceMissing, match=r"of `/dist/app\.js`: not found") as excluded:
        plan_copy(copy("dist/app.js", to="/"), [context], None)
    assert excluded.value.notes == ("excluded by `.dockerignore` line 3: `dist`",)
    with pytest.raises(SourceMissing) as misspelt:
        plan_copy(copy("setpu.py", to="/"), [context], None)
    assert misspelt.value.notes == () and misspelt.value.hint == "did you mean `setup.py`?"


def test_names_need_the_image_files(tree: Callable[[str], str]) -> None:
    context, image = tree('f 0644 0:0 f "x"'), MergedView([tree('d 0755 0:0 etc\nf 0644 0:0 etc/passwd "app:x:5:6"')])
    assert plan_copy(copy("f", to="/x", owner="app"), [LocalContext(context)], image)
    for link, parent in ((True, image), (False, None)):
        with pytest.raises(UnknownUser):
            plan_copy(copy("f", to="/x", owner="app", link=link), [LocalContext(context)], parent)


# -- writing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("touch", [
    lambda path: Path(path).write_text("other"),
    lambda path: Path(path).write_text("text"),
    lambda path: os.chmod(path, 0o600),
    lambda path: os.unlink(path),
    lambda path: (os.unlink(path), Path(path).write_text("text")),
    lambda path: (os.unlink(path), os.symlink("/etc/passwd", path)),
], ids=["bytes", "times", "mode", "gone", "replaced", "link"])
def test_a_file_that_changed_after_planning_is_not_copied(tree: Callable[[str], str],
                                                          touch: Callable[[str], object]) -> None:
    context = tree('f 0644 0:0 f "text"')
    plan = plan_copy(copy("f", to="/x"), [LocalContext(context)], None)
    touch(f"{context}/f")
    with pytest.raises(SourceChanged, match="`f` changed while it was being copied"):
        plan.write(tree())


def test_layer_shares_nothing_with_its_source(tree: Callable[[str], str]) -> None:
    context, layer = tree('d 0755 0:0 d\nf 0644 0:0 d/a "x"\nh d/b = d/a'), tree()
    write(plan_copy(copy("d", to="/"), [LocalContext(context)], None), layer)
    assert os.stat(f"{layer}/a").st_nlink == 2
    assert os.stat(f"{layer}/a").st_ino != os.stat(f"{context}/d/a").st_ino


def test_names_of_one_file_are_separate_where_one_is_replaced(tree: Callable[[str], str]) -> None:
    context, layer = tree('d 0755 0:0 d\nf 0644 0:0 d/a "x"\nh d/b = d/a\nh d/c = d/a\nf 0600 0:0 a "y"'), tree()
    assert write(plan_copy(copy("d", "a", to="/"), [LocalContext(context)], None), layer) == [
        'f 0600 0:0 a "y"', 'f 0644 0:0 b "x"', "h c = b"]


def test_holes_stay_holes(tree: Callable[[str], str]) -> None:
    context, layer = tree(), tree()
    with open(f"{context}/sparse", "wb") as file:
        file.seek(1 << 20)
        file.write(b"middle")
        file.truncate(1 << 24)
    plan_copy(copy("sparse", to="/"), [LocalContext(context)], None).write(layer)
    assert Path(f"{layer}/sparse").read_bytes() == Path(f"{context}/sparse").read_bytes()
    assert os.stat(f"{layer}/sparse").st_blocks * 512 < 1 << 20


def test_capabilities_of_an_image_survive_chown_and_other_xattrs_do_not(tree: Callable[[str], str]) -> None:
    stage, layer = tree('f 0755 0:0 f "x" cap'), tree()
    os.setxattr(f"{stage}/f", "user.note", b"x")
    assert write(plan_copy(copy("f", to="/", owner="3:4"), [MergedView([stage])], None), layer) == [
        'f 0755 3:4 f "x" cap']
    assert os.listxattr(f"{layer}/f") == ["security.capability"]


def test_directories_of_the_parent_keep_their_attributes(tree: Callable[[str], str]) -> None:
    context, below, layer = tree('f 0644 0:0 f "x"'), tree("d 0711 5:6 a @50\nd 3770 7:8 a/b @60"), tree()
    os.setxattr(f"{below}/a", "user.note", b"kept")
    os.setxattr(f"{below}/a/b", "trusted.overlay.opaque", b"y")
    plan = plan_copy(copy("f", to="/a/b/"), [LocalContext(context)], MergedView([below]))
    plan.write(layer, now_ns=70 * 10**9)
    assert list(dump_tree(MergedView([layer]), mtimes=True)) == [
        "d 0711 5:6 a @50", "d 3770 7:8 a/b @70", 'f 0644 0:0 a/b/f "x" @100']
    assert os.getxattr(f"{layer}/a", "user.note") == b"kept"
    assert os.listxattr(f"{layer}/a/b") == []
    facts = keys(plan)["parent"]
    assert isinstance(facts, dict) and facts["a"].startswith("directory 0711 5:6 xattrs ")


def test_root_of_a_layer_is_that_of_the_parent(tree: Callable[[str], str]) -> None:
    context, below, layer = tree('f 0644 0:0 f "x"'), tree(), tree()
    os.chmod(below, 0o751)
    os.chmod(layer, 0o700)
    plan_copy(copy("f", to="/"), [LocalContext(context)], MergedView([below])).write(layer)
    assert os.stat(layer).st_mode & 0o7777 == 0o751
    nothing = tree()
    os.chmod(nothing, 0o700)
    plan_copy(copy("nope*", to="/x/"), [LocalContext(context)], None).write(nothing)
    assert os.stat(nothing).st_mode & 0o7777 == 0o755
    assert os.listdir(nothing) == []


@pytest.mark.parametrize(("sources", "op"), [
    ("d 0755 0:0 nest", copy("d", to="/t/")),
    ("d 0755 0:0 nest", copy("d", to="/t")),
])
def test_nothing_new_is_nothing_in_the_layer(tree: Callable[[str], str], sources: str, op: Copy) -> None:
    context, below, layer = tree("d 0755 0:0 d\nd 0755 0:0 d/nest"), tree("d 0755 0:0 t\nd 0755 0:0 t/nest"), tree()
    plan = plan_copy(op, [LocalContext(context)], MergedView([below]))
    plan.write(layer)
    assert list(dump_tree(MergedView([layer]))) == []
    other = plan_copy(op, [LocalContext(context)], MergedView([tree("d 0755 0:0 t\nd 0700 0:0 t/nest")]))
    assert keys(other) != keys(plan)


def test_sockets_become_empty_files_and_whiteouts_are_refused(tree: Callable[[str], str]) -> None:
    import socket

    context, layer = tree(), tree()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{context}/s")
        os.chmod(f"{context}/s", 0o640)
        assert write(plan_copy(copy(".", to="/"), [LocalContext(context)], None), layer) == ['f 0640 0:0 s ""']
    context = tree("c 0600 0:0 null 1,3")
    assert write(plan_copy(copy(".", to="/"), [LocalContext(context)], None), tree()) == ["c 0600 0:0 null 1,3"]
    context = tree("c 0600 0:0 hole 0,0")
    with pytest.raises(BuilderError, match="`hole` is a device 0:0"):
        plan_copy(copy(".", to="/"), [LocalContext(context)], None).write(tree())


def test_literal_sources_keep_their_name_and_their_attributes(tree: Callable[[str], str]) -> None:
    """A link that is named is followed, as elsewhere."""
    source = tree('f 0600 0:0 a[1].txt "x"\nl 0777 0:0 link -> a[1].txt')
    assert write(plan_copy(copy("a[1].txt", "link", to="/x/", literal=True), [LocalContext(source)], None), tree()) == [
        "d 0755 0:0 x", 'f 0600 0:0 x/a[1].txt "x"', 'f 0600 0:0 x/link "x"']
    os.chmod(source, 0o711)
    assert write(plan_copy(copy("/", to="/x/y", literal=True), [LocalContext(source)], None), tree())[:2] == [
        "d 0755 0:0 x", "d 0711 0:0 x/y"]
    below = tree('d 0700 0:0 x\nf 0644 0:0 x/old "o"')
    over = plan_copy(copy("/", to="/x", literal=True), [LocalContext(source)], MergedView([below]))
    assert write(over, tree(), below) == [
        "d 0700 0:0 x", 'f 0600 0:0 x/a[1].txt "x"', "l 0777 0:0 x/link -> a[1].txt", 'f 0644 0:0 x/old "o"']


def test_inline_files(tree: Callable[[str], str]) -> None:
    files = tree()
    write_inline([InlineFile("run.sh", "#!/bin/sh\r\n\udcff"), InlineFile("../../up", "x", 0o600)], files)
    assert Path(f"{files}/run.sh").read_bytes() == b"#!/bin/sh\r\n\xff"
    tree_of_files: FileTree = LocalContext(files)
    assert [(entry.path, entry.stat.st_mode & 0o777) for entry in tree_of_files.walk("")] == [
        ("run.sh", 0o644), ("up", 0o600)]
    plan = plan_copy(copy("run.sh", "up", to="/x/", literal=True), [tree_of_files], None)
    assert [line.split('"')[0] for line in write(plan, tree())] == [
        "d 0755 0:0 x", "f 0644 0:0 x/run.sh ", "f 0600 0:0 x/up "]


# -- archives ------------------------------------------------------------------------------------------------------


def archive(directory: str, path: str) -> None:
    import tarfile

    with tarfile.open(path, "w:gz") as tar:
        tar.add(directory, arcname=".")


def test_archives_are_unpacked_over_the_parent(tree: Callable[[str], str]) -> None:
    content = tree('d 0700 3:4 lib\nf 0644 3:4 lib/new "new"\nd 0755 0:0 usr\nf 0644 0:0 usr/f "f"')
    below = tree('d 0711 5:6 opt\nl 0777 0:0 opt/lib -> real\nd 0750 7:8 opt/usr\nf 0644 0:0 opt/usr/old "old"')
    context = tree('f 0644 0:0 plain.tar "no archive"')
    archive(content, f"{context}/a.tgz")
    op = copy("a.tgz", "plain.tar", to="/opt", unpack=True)
    assert write(plan_copy(op, [LocalContext(context)], MergedView([below])), tree(), below) == [
        "d 0711 5:6 opt", "d 0700 3:4 opt/lib", 'f 0644 3:4 opt/lib/new "new"', 'f 0644 0:0 opt/plain.tar "no archive"',
        "d 0755 0:0 opt/usr", 'f 0644 0:0 opt/usr/f "f"', 'f 0644 0:0 opt/usr/old "old"']


def test_key_of_an_archive_holds_the_directories_and_links_it_may_meet(tree: Callable[[str], str]) -> None:
    context = tree()
    archive(tree('f 0644 0:0 f "f"'), f"{context}/a.tgz")
    op = copy("a.tgz", to="/opt", unpack=True)

    def parent(text: str) -> object:
        return keys(plan_copy(op, [LocalContext(context)], MergedView([tree("d 0755 0:0 opt\n" + text)])))["parent"]

    plain = parent("d 0755 0:0 opt/d")
    assert plain == parent('d 0755 0:0 opt/d\nf 0644 0:0 opt/f "x"\nd 0755 0:0 elsewhere')
    assert plain != parent("d 0700 0:0 opt/d")
    assert plain != parent("l 0777 0:0 opt/d -> x")


def test_names_that_are_no_utf_8(tree: Callable[[str], str]) -> None:
    context, below, layer = tree(), tree("l 0777 0:0 t -> nowhere"), tree()
    odd = os.fsdecode(b"\xff")
    Path(f"{context}/{odd}").write_text("x")
    os.unlink(f"{below}/t")
    os.symlink(odd, f"{below}/t")
    plan = plan_copy(copy(".", to="/t/"), [LocalContext(context)], MergedView([below]))
    plan.write(layer)
    assert [os.fsencode(entry.path) for entry in MergedView([layer]).walk("")] == [b"\xff", b"\xff/\xff"]
    before = keys(plan)
    assert before["parent"] == {"": "directory 0755 0:0", "\\xff": "absent"}
    assert [path for path, _ in plan.manifest(Fingerprints(b"s"))] == ["", "\\xff"]
    os.rename(f"{context}/{odd}", f"{context}/y")
    assert keys(plan_copy(copy(".", to="/t/"), [LocalContext(context)], MergedView([below]))) != before


def test_links_of_several_names_are_copied_one_by_one(tree: Callable[[str], str]) -> None:
    context, layer = tree("d 0755 0:0 d\nl 0777 0:0 d/a -> x\nh d/b = d/a"), tree()
    assert write(plan_copy(copy("d", to="/"), [LocalContext(context)], None), layer) == [
        "l 0777 0:0 a -> x", "l 0777 0:0 b -> x"]


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
@pytest.mark.parametrize("layer_mode", [0o755, 0o2755])
def test_modes_and_owners_depend_on_neither_umask_nor_store(tree: Callable[[str], str], umask: int,
                                                            layer_mode: int) -> None:
    files = [f'f {mode} 0:0 {name} "x"' for mode, name in (("0644", "a"), ("0666", "b"), ("4755", "c"), ("0000", "d"))]
    context, layer = tree("\n".join(files)), tree("")
    os.chown(layer, -1, 7)
    os.chmod(layer, layer_mode)
    before = os.umask(umask)
    try:
        plan_copy(copy(".", to="/"), [LocalContext(context)], None).write(layer)
    finally:
        os.umask(before)
    assert list(dump_tree(MergedView([layer]))) == files


@pytest.mark.parametrize("size", [0, 1, 1 << 20])
@pytest.mark.parametrize("sparse", [False, True])
def test_nothing_is_copied_for_a_build_that_ended(tmp_path: Path, size: int, sparse: bool) -> None:
    (tmp_path / "context").mkdir()
    with open(tmp_path / "context/f", "wb") as file:
        file.write(b"x" * size)
        file.truncate(size << int(sparse))
    ended = threading.Event()
    ended.set()
    plan = plan_copy(copy("f", to="/f"), [LocalContext(str(tmp_path / "context"))], None)
    (tmp_path / "layer").mkdir()
    with pytest.raises(Cancelled):
        plan.write(str(tmp_path / "layer"), cancelled=ended)
    assert os.listdir(tmp_path / "layer") in ([], ["f"])
    assert not any(path.stat().st_size for path in (tmp_path / "layer").iterdir())
