"""Progress as JSON lines: BuildKit's SolveStatus, as `docker buildx build --progress rawjson` prints it."""

from __future__ import annotations

import hashlib
from typing import TextIO

import msgspec

from builder.golang.times import rfc3339
from builder.solver import events
from builder.ui.buildstate import warning_text
from builder.ui.output import Output


class _Vertex(msgspec.Struct, kw_only=True, omit_defaults=True):
    digest: str
    inputs: list[str] = []
    name: str
    started: str | None = None
    completed: str | None = None
    cached: bool = False
    error: str = ""


class RawJson:
    kind = "rawjson"

    def __init__(self, stream: TextIO) -> None:
        self._out = Output(stream)
        self._encode = msgspec.json.Encoder().encode
        self._build = ""
        self._vertices: dict[int, _Vertex] = {}
        self._item_starts: dict[tuple[int, str], str] = {}

    def handle(self, event: events.AnyEvent) -> None:
        time = rfc3339(event.time)
        match event:
            case events.BuildStarted():
                self._build = event.build
            case events.VertexNamed():
                self._vertices[event.vertex] = _Vertex(
                    digest=self._digest(event.vertex), name=event.name,
                    inputs=[self._digest(number) for number in event.inputs])
                self._send("vertexes", self._vertices[event.vertex])
            case events.VertexLog():
                self._send("logs", {"vertex": self._digest(event.vertex), "stream": event.stream, "data": event.data,
                                    "timestamp": time})
            case events.VertexProgress():
                self._send("statuses", self._status(event, time))
            case events.WarningRaised():
                self._send("warnings", {"vertex": self._digest(event.vertex or 0), **solve_warning(event)})
            case _:
                if (vertex := self._vertices.get(getattr(event, "vertex", -1))) is not None:
                    self._change(vertex, event, time)

    def pause(self) -> None:
        pass  # a stream of lines for a program, which nobody types into

    def resume(self) -> None:
        pass

    def close(self) -> None:
        pass

    def _change(self, vertex: _Vertex, event: events.AnyEvent, time: str) -> None:
        vertex.started = vertex.started or time
        if not isinstance(event, events.VertexStarted):
            vertex.completed = time
            vertex.cached = isinstance(event, events.VertexCached)
        if isinstance(event, events.VertexFailed):
            vertex.error = event.error
        elif isinstance(event, events.VertexCancelled):
            vertex.error = "context canceled"
        self._send("vertexes", vertex)

    def _status(self, event: events.VertexProgress, time: str) -> dict[str, object]:
        started = self._item_starts.setdefault((event.vertex, event.item), time)
        status: dict[str, object] = {"id": event.item, "vertex": self._digest(event.vertex), "current": event.current}
        if event.total:
            status["total"] = event.total
        status |= {"timestamp": time, "started": started}
        return status | ({"completed": time} if event.done else {})

    def _digest(self, number: int) -> str:
        """BuildKit names vertices by digest; ours are digests of the build and the number."""
        return "sha256:" + hashlib.sha256(f"{self._build}/{number}".encode()).hexdigest()

    def _send(self, kind: str, value: object) -> None:
        self._out.write(self._encode({kind: [value]}).decode() + "\n")


def solve_warning(event: events.WarningRaised) -> dict[str, object]:
    """A finding as BuildKit's VertexWarning, without its vertex; texts are bytes there, so base64 in JSON."""
    warning: dict[str, object] = {"level": 1, "short": warning_text(event).encode(),
                                  "detail": [event.description.encode()], "url": event.url}
    if event.location is not None:
        span, source = event.location.span, event.location.source
        warning["sourceInfo"] = {"filename": source.name, "data": source.text.encode(), "language": "Dockerfile"}
        warning["range"] = [{"start": {"line": span.line}, "end": {"line": max(span.line, span.end_line)}}]
    return warning
