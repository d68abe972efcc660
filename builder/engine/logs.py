"""The output of a step: whole into a file, and as events to whoever watches."""

from __future__ import annotations

import time
from types import TracebackType
from typing import BinaryIO

from builder.engine import events
from builder.engine.resources import Resources


class StepLog:
    """Takes a step's output; a context manager. The file is made when there is something to write."""

    def __init__(self, resources: Resources, vertex: int) -> None:
        self._resources = resources
        self._vertex = vertex
        self._file: BinaryIO | None = None

    def __call__(self, stream: int, data: bytes) -> None:
        if self._file is None:
            path = self._resources.store.log_path(self._resources.build, self._vertex)
            self._file = open(path, "ab", buffering=0)  # noqa: SIM115  # closed in __exit__
        self._file.write(data)
        self._resources.emit(events.VertexLog(time=time.time(), vertex=self._vertex, stream=stream, data=data))

    def __enter__(self) -> StepLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()
