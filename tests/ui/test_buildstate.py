"""What is kept of a step's output."""

from __future__ import annotations

import time

from builder.ui.buildstate import TracedVertex


def test_output_without_an_end_of_line_is_kept_in_bounded_lines_and_in_linear_time() -> None:
    vertex = TracedVertex(1, "RUN yes")
    vertex.started = 0.0
    started = time.process_time()
    for _ in range(20_000):
        vertex.write(b"y" * 4096, 1.0)
        vertex.forget_lines()
    assert max(map(len, vertex.log)) < 80_000
    assert len(vertex.log) <= 1000
    assert time.process_time() - started < 20


def test_the_rest_of_a_line_is_added_to_it() -> None:
    vertex = TracedVertex(1, "RUN x")
    vertex.started = 0.0
    for data in (b"one", b" and", b" two\nthr", b"ee\n"):
        vertex.write(data, 1.0)
    assert vertex.log == ["1.000 one and two", "1.000 three"]
