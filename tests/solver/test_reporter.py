"""Every vertex that is announced ends, whatever becomes of the build."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import builder
from builder.errors import BuilderError
from builder.solver import events
from builder.solver.reporter import Progress
from builder.ui.buildstate import Trace

ENDS = (events.VertexCached, events.VertexDone, events.VertexFailed, events.VertexCancelled)
MARKS = st.lists(st.tuples(st.integers(1, 6), st.sampled_from(["named", "started", "cached", "done", "failed"])))


@given(MARKS, st.booleans())
def test_after_the_end_of_a_build_nothing_is_open(marks: list[tuple[int, str]], ok: bool) -> None:
    seen: list[events.AnyEvent] = []
    progress = Progress(seen.append)
    named: set[int] = set()
    ended: set[int] = set()
    for vertex, mark in marks:
        if mark == "named" and vertex not in named:
            named.add(vertex)
            progress.emit(events.VertexNamed(time=1.0, vertex=vertex, name="x"))
        elif vertex in named - ended and mark != "named":
            if mark != "started":
                ended.add(vertex)
            progress.emit({"started": events.VertexStarted(time=1.0, vertex=vertex),
                           "cached": events.VertexCached(time=1.0, vertex=vertex),
                           "done": events.VertexDone(time=1.0, vertex=vertex),
                           "failed": events.VertexFailed(time=1.0, vertex=vertex, error="x")}[mark])
    progress.emit(events.BuildDone(time=2.0, build="b", ok=ok))
    trace = Trace()
    for event in seen:
        trace.apply(event)
    assert trace.completed == len(trace.vertices) == len(named)
    assert sorted(event.vertex for event in seen if isinstance(event, ENDS)) == sorted(named), "each ends once"


@pytest.mark.parametrize("dockerfile", [
    "FROM scratch\nCOPY a /\n", "FROM scratch AS one\nCOPY a /\nFROM scratch\nCOPY --from=one a /\nCOPY a /b\n",
    "FROM scratch\nCOPY <<x /y\nz\nx\nWORKDIR /w\n", "FROM scratch\nCOPY a /\nCOPY missing /\nCOPY a /b\n",
    "FROM nosuch.invalid/x\nCOPY a /\n", "FROM scratch\nNOPE\n",
])
def test_each_vertex_of_a_build_ends_once(tmp_path: Path, dockerfile: str) -> None:
    (tmp_path / "context").mkdir()
    (tmp_path / "context" / "a").write_text("a")
    (tmp_path / "context" / "Dockerfile").write_text(dockerfile)
    with builder.Builder(str(tmp_path / "state")) as opened:
        for no_cache in (False, False, True):
            seen: list[events.AnyEvent] = []
            try:
                opened.build(builder.BuildOptions(context=str(tmp_path / "context"), no_cache=no_cache), seen.append)
            except BuilderError:
                pass
            named = [event.vertex for event in seen if isinstance(event, events.VertexNamed)]
            assert sorted(event.vertex for event in seen if isinstance(event, ENDS)) == sorted(named)


def test_one_number_for_a_step_everywhere(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch AS one\nCOPY Dockerfile /\nFROM scratch\nCOPY --from=one / /\n")
    options = builder.BuildOptions(context=str(tmp_path))
    with builder.Builder(str(tmp_path / "state")) as opened:
        seen: list[events.AnyEvent] = []
        result = opened.build(options, seen.append)
        named = {event.vertex: event.name for event in seen if isinstance(event, events.VertexNamed)}
        recorded = {step.ordinal: step.name for step in opened.find_build(result.build).steps}
        forecast = {one.vertex: one.name for one in opened.inspector.forecast(options)[0].predictions}
        assert recorded.items() <= named.items()
        assert forecast.items() <= named.items()
