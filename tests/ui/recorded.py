"""Builds that docker buildx recorded (testdata/ui), as given."""

from __future__ import annotations

import base64
import datetime
import json
from pathlib import Path
from typing import Any

from builder.solver import events

CASES = sorted(path for path in (Path(__file__).parents[2] / "testdata" / "ui").iterdir() if path.is_dir())


def events_of(case: Path) -> list[events.AnyEvent]:
    """What builder's engine would have emitted for the recorded build."""
    statuses = [json.loads(line) for line in (case / "rawjson.jsonl").read_text().splitlines()]
    numbers: dict[str, int] = {}
    last = {v["digest"]: v for s in statuses for v in s.get("vertexes", ()) if v.get("completed")}
    started: set[str] = set()
    given: list[events.AnyEvent] = []
    for status in statuses:
        for vertex in status.get("vertexes", ()):
            given += _vertex_events(vertex, numbers, started, final=last.get(vertex["digest"]))
        for item in status.get("statuses", ()):
            given.append(events.VertexProgress(
                time=_seconds(item.get("completed") or item["timestamp"]), vertex=numbers[item["vertex"]],
                item=item["id"], current=item["current"], total=item.get("total", 0), done="completed" in item))
        for log in status.get("logs", ()):
            given.append(events.VertexLog(time=_seconds(log["timestamp"]), vertex=numbers[log["vertex"]],
                                    stream=log["stream"], data=base64.b64decode(log["data"])))
    return given


def _vertex_events(vertex: dict[str, Any], numbers: dict[str, int], started: set[str],
                   final: Any) -> list[events.AnyEvent]:
    given: list[events.AnyEvent] = []
    digest = vertex["digest"]
    if digest not in numbers:
        numbers[digest] = len(numbers) + 1
        given.append(events.VertexNamed(time=0.0, vertex=numbers[digest], name=vertex["name"]))
    number = numbers[digest]
    if vertex.get("started") and digest not in started:
        # BuildKit starts some vertices twice, first to compute their key; the engine starts each once.
        started.add(digest)
        time = _seconds(final["started"] if final else vertex["started"])
        given.append(events.VertexStarted(time=time, vertex=number))
    if vertex.get("completed") and vertex == final:
        time = _seconds(vertex["completed"])
        if vertex.get("cached"):
            given.append(events.VertexCached(time=time, vertex=number))
        elif vertex.get("error"):
            given.append(events.VertexFailed(time=time, vertex=number, error=vertex["error"]))
        else:
            given.append(events.VertexDone(time=time, vertex=number))
    return given


def _seconds(text: str) -> float:
    whole, _, fraction = text.removesuffix("Z").partition(".")
    moment = datetime.datetime.fromisoformat(whole + "+00:00").timestamp()
    return moment + float(f"0.{fraction or 0}")
