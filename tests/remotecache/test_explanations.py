"""What a cache says of its keys is from outside: it may be of any shape, and costs no build."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from builder.remotecache.explanations import Explanation, decode_explanations, encode_explanations, why_missed

PARTS = {
    "argv": ["/bin/sh", "-c", "make all"], "env": [["A", "1"]], "args.list": ["A"], "cwd": "/", "limits": {"memory": 1},
    "mounts": [{"type": "bind", "target": "/x"}], "ulimits": [{"name": "a", "soft": 1, "hard": 2}], "parent": ["k"],
    "base.list": ["base", "sha256:b", 1], "files": "d", "files.list": [["a", "644 0:0 x"]], "sources": [["a"]],
    "below": [["a", "b"]], "mount:/x": "d", "mount:/x.list": [["a", "644 0:0 x"]],
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text("ab\ud800\x1b/", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abt"), inner, max_size=2))


@settings(deadline=None, max_examples=400)
@given(st.sampled_from(["run", "copy", "mkdir"]), st.dictionaries(st.sampled_from(sorted(PARTS)), JSON, min_size=1))
def test_parts_of_any_shape_explain_something_or_nothing(kind: str, hostile: dict[str, object]) -> None:
    known = Explanation(key="k", kind=kind, name="step", created=1.0, parts={**PARTS, **hostile})
    why_missed(kind, PARTS, "step", {"k": known}).encode()


def test_deeply_nested_parts_explain_nothing() -> None:
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    known = Explanation(key="k", kind="run", name="step", created=1.0, parts={**PARTS, "cwd": deep})
    assert why_missed("run", PARTS, "step", {"k": known}) == ""


def test_an_honest_cache_says_what_changed() -> None:
    known = decode_explanations(encode_explanations([
        Explanation(key="k", kind="run", name="step", created=1.0, parts={**PARTS, "cwd": "/src"})]))
    assert why_missed("run", PARTS, "step", known) == 'the working directory changed "/src" -> "/"'
