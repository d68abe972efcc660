from __future__ import annotations

import io
import re
import time
from pathlib import Path

import pytest

from builder.solver import events
from builder.source import Location, Source, Span
from builder.ui.plain import Plain
from tests.ui.recorded import CASES, events_of


def plain_of(given: list[events.AnyEvent], runtime: str = "") -> str:
    out = io.StringIO()
    view = Plain(out, runtime=runtime)
    for event in given:
        view.handle(event)
    view.close()
    view.close()
    return out.getvalue()


def shape_of(text: str) -> list[str]:
    """The paragraphs without what differs from run to run: numbers, times, digests, order of cached steps."""
    text = re.sub(r"\n\S*Dockerfile:\d+\n-{20}.*", "\n", text, flags=re.DOTALL)
    text = re.sub(r"sha256:[0-9a-f]{64}", "sha256:D", text)
    text = re.sub(r"(?m)^#\d+ ", "# ", text)
    text = re.sub(r"(?m)^(# )?\d+\.\d+ ", r"\1TIME ", text)
    text = re.sub(r" \d+\.\d+s done", " done", text)
    text = re.sub(r"(?m)^# (.+)\n(?=# \1 done$)", "", text)
    text = re.sub(r"DONE \d+\.\d+s", "DONE TIME", text)
    blocks = [block.strip() for block in text.split("\n\n") if block.strip()]
    return sorted(block for block in blocks if "building with" not in block)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_has_the_form_of_dockers(case: Path) -> None:
    ours = plain_of(events_of(case))
    assert shape_of(ours) == shape_of((case / "plain.txt").read_text())
    numbers = {event.name: event.vertex for event in events_of(case) if isinstance(event, events.VertexNamed)}
    heads = re.findall(r"(?:^|\n\n)#(\d+) (.*)\n", ours)
    assert heads and all(numbers[name] == int(number) for number, name in heads), "one number for a step everywhere"


def named(vertex: int, name: str) -> events.VertexNamed:
    return events.VertexNamed(time=100.0, vertex=vertex, name=name)


def test_says_why_a_step_runs() -> None:
    text = plain_of([
        named(1, "[2/3] RUN make"), events.VertexStarted(time=100.0, vertex=1, why="1 file changed: src/a.py"),
        events.VertexLog(time=100.25, vertex=1, stream=1, data=b"cc a.c\n"), events.VertexDone(time=112.0, vertex=1),
    ], runtime="builtin")
    assert text == (
        '#0 building with "builtin" runtime\n\n'
        "#1 [2/3] RUN make\n"
        "#1 miss: 1 file changed: src/a.py\n"
        "#1 0.250 cc a.c\n"
        "#1 DONE 12.0s\n"
    )


def test_parallel_steps_take_turns() -> None:
    """The other's output waits until the first is done, or has had the floor for five seconds."""
    text = plain_of([
        named(1, "one"), named(2, "two"),
        events.VertexStarted(time=100.0, vertex=1), events.VertexStarted(time=100.0, vertex=2),
        events.VertexLog(time=101.0, vertex=2, stream=1, data=b"held back\n"),
        events.VertexLog(time=102.0, vertex=1, stream=1, data=b"a\n"),
        events.VertexLog(time=106.0, vertex=2, stream=2, data=b"its turn, unfin"),
        events.VertexLog(time=107.0, vertex=1, stream=1, data=b"b\n"),
        events.VertexDone(time=108.0, vertex=1),
        events.VertexLog(time=109.0, vertex=2, stream=2, data=b"ished\n"),
        events.VertexDone(time=211.0, vertex=2),
    ])
    assert text == (
        "#1 one\n#1 2.000 a\n"
        "#1 ...\n\n#2 two\n#2 1.000 held back\n#2 6.000 its turn, unfin\n"
        "#2 ...\n\n#1 one\n#1 7.000 b\n#1 DONE 8.0s\n\n"
        "#2 two\n#2 6.000 its turn, unfinished\n#2 DONE 111.0s\n"
    )


def test_output_that_waits_comes_without_another_event() -> None:
    out = io.StringIO()
    view = Plain(out)
    now = time.time()
    for event in (named(1, "silent"), named(2, "talks"), events.VertexStarted(time=now - 9, vertex=1),
                  events.VertexStarted(time=now - 9, vertex=2),
                  events.VertexLog(time=now - 8, vertex=2, stream=1, data=b"hello\n")):
        view.handle(event)
    assert "hello" not in out.getvalue()
    deadline = time.monotonic() + 5
    while "hello" not in out.getvalue() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "#2 1.000 hello\n" in out.getvalue()
    view.close()


def test_failure_ends_with_the_last_ten_lines() -> None:
    log = "".join(f"line {n}\n" for n in range(15)).encode() + b"and an unfinished one"
    error = 'process "/bin/sh -c make" did not complete successfully: exit code: 2'
    text = plain_of([
        named(1, "[2/2] RUN make &&\n     exit 3"), events.VertexStarted(time=100.0, vertex=1),
        events.VertexLog(time=100.5, vertex=1, stream=1, data=log),
        events.VertexFailed(time=101.0, vertex=1, error=error),
    ])
    last = "".join(f"0.500 line {n}\n" for n in range(6, 15)) + "0.500 and an unfinished one\n"
    assert text.endswith(
        f"#1 0.500 and an unfinished one\n#1 ERROR: {error}\n"
        "------\n > [2/2] RUN make &&      exit 3:\n" + last + "------\n")


@pytest.mark.parametrize(("why", "shown"), [
    ("no earlier build of this step", ""), ("the cache was not asked (--no-cache)", ""),
    ("an earlier step produced a different layer", ""), ("the step before it produced a different layer", ""),
    ("1 file changed: a; the step before it produced a different layer", "#1 miss: 1 file changed: a\n"),
])
def test_only_news_is_said_about_a_miss(why: str, shown: str) -> None:
    text = plain_of([named(1, "x"), events.VertexStarted(time=1.0, vertex=1, why=why),
                     events.VertexDone(time=1.0, vertex=1)])
    assert text == f"#1 x\n{shown}#1 DONE 0.0s\n"


def test_what_was_never_begun_is_not_shown() -> None:
    assert plain_of([named(1, "x"), events.VertexCancelled(time=1.0, vertex=1)]) == ""


def test_cancelled_vertices_and_warnings() -> None:
    place = Location(Source("Dockerfile", "from x\n"), Span.at_line(1))
    text = plain_of([
        named(1, "[internal] load build definition from Dockerfile"), events.VertexStarted(time=100.0, vertex=1),
        events.WarningRaised(time=100.0, rule="FromAsCasing", message="no match", location=place, vertex=1),
        events.WarningRaised(time=100.0, rule="", message="only in the summary"),
        events.VertexCancelled(time=100.0, vertex=1),
    ])
    assert text == ("#1 [internal] load build definition from Dockerfile\n#1 WARN: FromAsCasing: no match (line 1)\n"
                    "#1 CANCELED\n")


def test_transfers_report_at_most_every_twentieth() -> None:
    given: list[events.AnyEvent] = [named(1, "FROM debian"), events.VertexStarted(time=100.0, vertex=1)]
    given += [events.VertexProgress(time=100.0 + n / 100, vertex=1, item="sha256:abc", current=n * 1000,
                                    total=1_000_000) for n in range(1000)]
    given.append(events.VertexProgress(time=110.0, vertex=1, item="sha256:abc", current=1_000_000, total=1_000_000,
                                       done=True))
    lines = plain_of([*given, events.VertexDone(time=110.0, vertex=1)]).splitlines()
    assert lines[1] == "#1 sha256:abc 11.00kB / 1.00MB 0.1s"
    assert lines[-2:] == ["#1 sha256:abc 1.00MB / 1.00MB 10.0s done", "#1 DONE 10.0s"]
    assert 15 <= len(lines) <= 24


def test_bytes_that_are_no_text_survive() -> None:
    text = plain_of([named(1, "x"), events.VertexStarted(time=100.0, vertex=1),
                     events.VertexLog(time=100.0, vertex=1, stream=1, data="ä".encode()[:1]),
                     events.VertexLog(time=100.0, vertex=1, stream=1, data="ä".encode()[1:] + b"\xff\n"),
                     events.VertexDone(time=100.0, vertex=1)])
    assert "#1 0.000 ä�\n" in text


def test_a_reader_that_leaves_does_not_stop_the_build() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    view = Plain(Gone())
    view.handle(named(1, "x"))
    view.handle(events.VertexStarted(time=100.0, vertex=1))
    view.close()
