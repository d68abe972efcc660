"""What a copy leaves out of its layer because the parent has it just so, and what its key says of that."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.context.fingerprints import Fingerprints
from builder.context.local import LocalContext
from builder.layer.copylayer import CopyPlan, plan_copy
from builder.layer.view import MergedView
from builder.plan.vertices import Copy, CopySource
from tests.layer.trees import dump_tree, make_tree

pytestmark = pytest.mark.root


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[str], str]:
    """Makes a directory from the text of a tree."""
    def make(text: str = "") -> str:
        path = tmp_path / f"tree{len(list(tmp_path.iterdir()))}"
        path.mkdir()
        make_tree(str(path), text, default_mtime=100)
        return str(path)

    return make


def copy_all(context: str, below: str, *, link: bool = False) -> CopyPlan:
    op = Copy(sources=(CopySource(input=0, paths=(".",)),), destination="/", has_parent=True, link=link)
    return plan_copy(op, [LocalContext(context)], MergedView([below]))


def layer_of(plan: CopyPlan, layer: str) -> list[str]:
    plan.key_parts(Fingerprints(b"secret"))
    plan.write(layer, now_ns=0)
    return list(dump_tree(MergedView([layer])))


BELOW = 'f 0644 0:0 same "x" @100\nd 0755 0:0 d\nf 0644 0:0 d/f "y" @100\nl 0777 0:0 d/l -> f @100\np 0644 0:0 d/p @100'


@pytest.mark.parametrize(("change", "held"), [
    (lambda root: None, []),
    (lambda root: os.utime(f"{root}/d", (7, 7)), []),
    (lambda root: os.utime(f"{root}/d/f", (7, 7)), ["d 0755 0:0 d", 'f 0644 0:0 d/f "y"']),
    (lambda root: os.utime(f"{root}/d/f", ns=(100 * 10**9, 100 * 10**9 + 1)), ["d 0755 0:0 d", 'f 0644 0:0 d/f "y"']),
    (lambda root: os.utime(f"{root}/d/l", (7, 7), follow_symlinks=False), ["d 0755 0:0 d", "l 0777 0:0 d/l -> f"]),
    (lambda root: os.chmod(f"{root}/d/p", 0o600), ["d 0755 0:0 d", "p 0600 0:0 d/p"]),
    (lambda root: os.chmod(f"{root}/d", 0o700), ["d 0700 0:0 d"]),
    (lambda root: make_tree(root, 'd 0755 0:0 e\nf 0644 0:0 e/f "z"', default_mtime=100),
     ["d 0755 0:0 e", 'f 0644 0:0 e/f "z"']),
])
def test_what_the_parent_has_just_so_is_left_out(change: Callable[[str], None], held: list[str],
                                                 tree: Callable[[str], str]) -> None:
    context, below = tree(BELOW), tree(BELOW)
    change(context)
    assert layer_of(copy_all(context, below), tree()) == held
    assert layer_of(copy_all(context, below, link=True), tree()) == list(dump_tree(MergedView([context])))


def test_equal_times_do_not_make_equal_content(tree: Callable[[str], str]) -> None:
    context, below = tree('f 0644 0:0 f "x"\nl 0777 0:0 l -> x'), tree('f 0644 0:0 f "y"\nl 0777 0:0 l -> y')
    assert layer_of(copy_all(context, below), tree()) == ['f 0644 0:0 f "x"', "l 0777 0:0 l -> x"]


def test_key_tells_what_may_be_left_out_and_no_times(tree: Callable[[str], str]) -> None:
    context = tree('d 0755 0:0 d\nf 0644 0:0 d/f "x"')

    def facts(below: str) -> object:
        return copy_all(context, tree(f"d 0755 0:0 d\n{below}")).key_parts(Fingerprints(b"secret"))["parent"]

    assert facts('f 0644 0:0 d/f "x" @5') == facts('f 0644 0:0 d/f "x" @6\nf 0644 0:0 d/g "z"') == {
        "": "directory 0755 0:0", "d": "unchanged", "d/f": "as it is copied"}
    assert facts('f 0644 0:0 d/f "y"') == facts('f 0600 0:0 d/f "x"') == {"": "directory 0755 0:0"}
