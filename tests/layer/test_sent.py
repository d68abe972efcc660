"""Patterns that match nothing, in a context of which only what is named would be sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.context.local import LocalContext
from builder.layer.selection import select
from builder.layer.sent import NothingSent, is_sent
from builder.oci import ImageConfig, Platform
from builder.plan.vertices import BindMount, Copy, CopySource, Plan, Run, SourceContext, Vertex
from builder.solver.lineage import words_taken
from tests.layer.trees import make_tree

CONTEXT = """
d 0755 0:0 sub
f 0644 0:0 sub/a.txt "a"
d 0755 0:0 sub/deep
f 0644 0:0 sub/deep/b.txt "b"
f 0644 0:0 top "t"
l 0777 0:0 link -> sub/deep
"""


@pytest.fixture
def context(tmp_path: Path) -> LocalContext:
    make_tree(str(tmp_path), CONTEXT)
    return LocalContext(str(tmp_path))


@pytest.mark.parametrize(("words", "sent"), [
    (["sub/*.nope"], []),
    (["top"], []),
    (["sub/a.txt"], ["sub"]),
    (["sub/*.nope", "/sub/*/b*"], ["sub", "sub/deep"]),
    (["sub"], ["sub", "sub/deep"]),
    (["link"], ["sub", "sub/deep"]),
    (["link/*.nope"], []),
    (["link/b.txt"], ["sub", "sub/deep"]),
    (["**/a.txt"], ["sub"]),
    (["/"], ["sub", "sub/deep"]),
    (["./sub/deep/.."], ["sub", "sub/deep"]),
    (["s*"], ["sub", "sub/deep"]),
])
def test_what_is_sent(context: LocalContext, words: list[str], sent: list[str]) -> None:
    assert [path for path in ("sub", "sub/deep") if is_sent(context.taken_by(words), path)] == sent


def taken(context: LocalContext, word: str, *, parents: bool = False) -> list[str]:
    source = CopySource(input=0, paths=(word,))
    op = Copy(sources=(source,), destination="/", has_parent=False, parents=parents)
    return [match.entry.path for match in select(source, context, op)]


@pytest.mark.parametrize(("word", "parents"), [("sub/*.nope", False), ("link/*.nope", False), ("top/*", False),
                                               ("sub/deep/[x]", False), ("sub/./*.nope", True)])
def test_a_folder_that_nothing_brings_is_not_there(context: LocalContext, word: str, parents: bool) -> None:
    with pytest.raises(NothingSent):
        taken(context.taken_by([word]), word, parents=parents)
    taken(context, word, parents=parents)
    taken(context.taken_by([word, "/"]), word, parents=parents)
    taken(LocalContext(context.root, root_owned=False).taken_by([word]), word, parents=parents)


def test_a_pattern_that_starts_at_the_root_may_match_nothing(context: LocalContext) -> None:
    for word in ("*.nope", "s*/*.nope", "nope*/x"):
        assert taken(context.taken_by([word]), word) == []
    assert taken(context.taken_by(["*.nope"]), "*.nope", parents=True) == [""]


def test_a_pivot_pattern_takes_what_is_sent(context: LocalContext) -> None:
    word = "[st]*/./deep/*"
    assert taken(context.taken_by([word]), word, parents=True) == ["sub"]
    assert taken(context.taken_by([word, "top"]), word, parents=True) == ["sub", "top"]


def test_the_words_of_all_instructions_count() -> None:
    copy = Copy(sources=(CopySource(input=1, paths=("b", "a")), CopySource(input=0, paths=("other",))), destination="/",
                has_parent=False)
    run = Run(argv=("x",), env=(), cwd="/", has_parent=False, mounts=(BindMount(target="/m", input=0, source="/c"),))
    plan = Plan(vertices=(Vertex(op=SourceContext(name="context"), inputs=(), name=""),
                          Vertex(op=SourceContext(name="other"), inputs=(), name=""),
                          Vertex(op=copy, inputs=(1, 0), name=""), Vertex(op=run, inputs=(0,), name="")), output=3,
                config=ImageConfig(architecture="amd64", os="linux"), history=(),
                platform=Platform(os="linux", architecture="amd64"))
    assert words_taken(plan, 0) == ("/c", "a", "b")
    assert words_taken(plan, 1) == ("other",)
