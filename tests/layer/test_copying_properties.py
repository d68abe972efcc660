"""Copies of random trees into random parents: against a naive copy on a real tree, and what equal keys promise."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.context.fingerprints import Sha256Digests
from builder.context.local import LocalContext
from builder.errors import ContextError
from builder.layer.copylayer import CopyPlan, plan_copy
from builder.layer.pack import pack
from builder.layer.resolution import canonical
from builder.layer.view import MergedView
from builder.oci import BlobForm, Compression
from builder.plan.vertices import Copy, CopySource
from tests.layer.trees import dump_tree

pytestmark = pytest.mark.root

NAMES = st.sampled_from(["a", "b", "c"])
MODES = st.sampled_from([0o755, 0o700, 0o2751])
NODES = st.recursive(
    st.one_of(st.tuples(st.just("file"), st.sampled_from(["x", "y"])),
              st.tuples(st.just("link"), st.sampled_from(["a", "../b", "/c", "/a/b", "nowhere", "c"]))),
    lambda inner: st.tuples(st.just("dir"), MODES, st.integers(0, 1), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=7,
)
DIRECTORIES = st.tuples(st.just("dir"), MODES, st.integers(0, 1), st.dictionaries(NAMES, NODES, max_size=3))
CONTEXTS = st.fixed_dictionaries({"a": DIRECTORIES, "b": NODES}, optional={"c": NODES})
PARENTS = st.fixed_dictionaries({"a": st.one_of(DIRECTORIES, NODES)}, optional={"b": DIRECTORIES, "c": NODES})
DESTINATIONS = st.sampled_from(["/", "/a", "/a/", "/b/c", "/b/c/", "/c/a/b", "/a/b/"])
WORDS = st.sampled_from(["a", "a", ".", "b", "*", "b*", "*/a", "c"])
OWNERS = st.sampled_from([None, "3:4"])
CHMODS = st.sampled_from(["", "750", "u+x,go="])
Nodes = dict[str, tuple]  # type: ignore[type-arg]


def make_nodes(directory: str, nodes: Nodes) -> None:
    for name, node in nodes.items():
        path = f"{directory}/{name}"
        match node:
            case ("file", content):
                Path(path).write_text(content)
                os.utime(path, (0, 0))
            case ("link", target):
                os.symlink(target, path)
                os.utime(path, (0, 0), follow_symlinks=False)
            case ("dir", mode, owner, inner):
                os.mkdir(path)
                make_nodes(path, inner)
                os.chown(path, owner, owner)
                os.chmod(path, mode)
    os.utime(directory, (0, 0))


@contextmanager
def trees(*made: Nodes) -> Iterator[list[str]]:
    """Each as a directory, and an empty one for the layer."""
    scratch = tempfile.mkdtemp()
    try:
        paths = [f"{scratch}/{number}" for number in range(len(made) + 2)]
        for path, nodes in zip(paths, [*made, {}, {}], strict=True):
            os.mkdir(path)
            make_nodes(path, nodes)
        yield paths
    finally:
        shutil.rmtree(scratch)


def copy_of(words: list[str], destination: str, owner: str | None, mode: str, *, link: bool = False) -> Copy:
    return Copy(sources=tuple(CopySource(input=0, paths=(word,)) for word in words), destination=destination,
                has_parent=True, owner=owner, mode=mode, link=link)


def planned(op: Copy, context: str, parent: str) -> CopyPlan | None:
    """None where the copy is refused."""
    try:
        return plan_copy(op, [LocalContext(context)] * len(op.sources), MergedView([parent]))
    except ContextError:
        return None


@settings(max_examples=40, deadline=None)
@given(CONTEXTS, PARENTS, st.lists(WORDS, min_size=1, max_size=2), DESTINATIONS, OWNERS)
def test_layer_over_parent_is_what_a_naive_copy_makes(context: Nodes, parent: Nodes, words: list[str],
                                                      destination: str, owner: str | None) -> None:
    with trees(context, parent) as (context_dir, parent_dir, layer_dir, copied):
        plan = planned(copy_of(words, destination, owner, ""), context_dir, parent_dir)
        if plan is None:
            return
        plan.key_parts(Sha256Digests())
        plan.write(layer_dir, now_ns=0)
        os.rmdir(copied)
        shutil.copytree(parent_dir, copied, symlinks=True)
        for entry in MergedView([parent_dir]).walk(""):
            os.chown(f"{copied}/{entry.path}", entry.stat.st_uid, entry.stat.st_gid, follow_symlinks=False)
            if not entry.is_link:
                os.chmod(f"{copied}/{entry.path}", entry.stat.st_mode & 0o7777)
        for match in (match for matches in plan.taken.matches for match in matches):
            source = f"{match.entry.root.path}/{match.entry.path}"
            naive_copy(source, match.name, copied, destination, (3, 4) if owner else (0, 0))
        assert list(dump_tree(MergedView([parent_dir, layer_dir]))) == list(dump_tree(MergedView([copied])))


@settings(max_examples=60, deadline=None)
@given(CONTEXTS, PARENTS, st.lists(WORDS, min_size=1, max_size=2), DESTINATIONS, OWNERS, CHMODS)
def test_packing_at_once_gives_the_blob_of_the_directory(context: Nodes, parent: Nodes, words: list[str],
                                                         destination: str, owner: str | None, mode: str) -> None:
    with trees(context, parent) as (context_dir, parent_dir, layer_dir, root):
        link_twice(context_dir)
        plan = planned(copy_of(words, destination, owner, mode), context_dir, parent_dir)
        if plan is None:
            return
        plan.key_parts(Sha256Digests())
        plan.write(layer_dir, now_ns=10**9)
        one, two = io.BytesIO(), io.BytesIO()
        assert plan.pack(root, two, BlobForm(Compression.UNCOMPRESSED), now_ns=10**9) == pack(layer_dir, one)
        assert one.getvalue() == two.getvalue()
        assert os.listdir(root) == [] and attributes(root) == attributes(layer_dir)


def link_twice(directory: str) -> None:
    """Gives each regular file of the directory a second name, in two directories."""
    for name in sorted(os.listdir(directory)):
        if os.path.isfile(f"{directory}/{name}") and not os.path.islink(f"{directory}/{name}"):
            os.makedirs(f"{directory}/a", exist_ok=True)
            os.link(f"{directory}/{name}", f"{directory}/a/z{name}")


def attributes(directory: str) -> tuple[int, int, int, int]:
    info = os.stat(directory)
    return info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns


def naive_copy(source: str, name: str, root: str, destination: str, owner: tuple[int, int]) -> None:
    """Copy one file or the contents of one directory into the real tree `root`, as it comes."""

    def directory(path: str) -> None:
        path = f"{root}/{canonical(MergedView([root]).lstat, path)}"
        missing = []
        while not os.path.isdir(path):
            missing.append(path)
            path = os.path.dirname(path)
        for new in reversed(missing):
            os.mkdir(new)
            os.chmod(new, 0o755)
            os.chown(new, *owner)

    def place(source: str, target: str) -> None:
        if os.path.islink(source):
            if os.path.lexists(target):
                os.unlink(target)
            os.symlink(os.readlink(source), target)
            os.lchown(target, *owner)
        elif os.path.isdir(source):
            os.makedirs(target, exist_ok=True)
            for child in sorted(os.listdir(source)):
                place(f"{source}/{child}", f"{target}/{child}")
            os.chown(target, *owner)
            shutil.copymode(source, target)
        else:
            if os.path.lexists(target):
                os.unlink(target)
            shutil.copy(source, target)
            os.chown(target, *owner)

    directory(destination if destination.endswith("/") else os.path.dirname(destination))
    target = f"{root}/{canonical(MergedView([root]).lstat, destination)}".rstrip("/")
    if not os.path.isdir(source):
        if os.path.isdir(target):
            target += f"/{name}"
        directory(os.path.dirname(target)[len(root):])
        place(source, target)
        return
    directory(target[len(root):])
    for child in sorted(os.listdir(source)):
        place(f"{source}/{child}", f"{target}/{child}")


@settings(max_examples=60, deadline=None)
@given(CONTEXTS, PARENTS, PARENTS, st.lists(WORDS, min_size=1, max_size=2), DESTINATIONS, OWNERS, CHMODS, st.booleans())
def test_equal_keys_make_equal_layers(context: Nodes, parent: Nodes, other: Nodes, words: list[str], destination: str,
                                      owner: str | None, mode: str, link: bool) -> None:
    """Whatever else differs between two parents."""
    with trees(context, parent, {**parent, **other}) as (context_dir, first_dir, second_dir, one, two):
        op = copy_of(words, destination, owner, mode, link=link)
        first, second = planned(op, context_dir, first_dir), planned(op, context_dir, second_dir)
        if first is None or second is None:
            assert not (link and (first or second)), "a linked copy looked at its parent"
            return
        if first.key_parts(Sha256Digests()) == second.key_parts(Sha256Digests()):
            first.write(one, now_ns=0)
            second.write(two, now_ns=0)
            assert list(dump_tree(MergedView([one]), mtimes=True)) == list(dump_tree(MergedView([two]), mtimes=True))
        else:
            assert not link, "a linked copy has its parent in the key"


@settings(max_examples=25, deadline=None)
@given(CONTEXTS, CONTEXTS, st.lists(WORDS, min_size=1, max_size=2), DESTINATIONS)
def test_different_sources_with_equal_keys_make_equal_layers(context: Nodes, other: Nodes, words: list[str],
                                                             destination: str) -> None:
    with trees(context, {**context, **other}, {}) as (first_dir, second_dir, parent_dir, one, two):
        op = copy_of(words, destination, None, "")
        first, second = planned(op, first_dir, parent_dir), planned(op, second_dir, parent_dir)
        if first is None or second is None:
            return
        if first.key_parts(Sha256Digests()) == second.key_parts(Sha256Digests()):
            first.write(one, now_ns=0)
            second.write(two, now_ns=0)
            assert list(dump_tree(MergedView([one]))) == list(dump_tree(MergedView([two])))
