"""The output of a step: into a file, and as events; both up to a limit, so that no step fills the disk."""

from __future__ import annotations

import time
from types import TracebackType
from typing import BinaryIO

from builder.solver import events
from builder.solver.resources import Resources


class StepLog:
    """Takes a step's output; a context manager. The file is made when there is something to write.

    What is beyond `resources.log_limit` bytes is dropped, with a line that says so; the step itself goes on.
    """

    def __init__(self, resources: Resources, vertex: int) -> None:
        self._resources = resources
        self._vertex = vertex
        self._file: BinaryIO | None = None
        self._room = resources.log_limit

    def __call__(self, stream: int, data: bytes) -> None:
        limit = self._resources.log_limit
        if limit >= 0:
            if not self._room:
                return
            if len(data) >= self._room:
                data = data[:self._room] + f"\n[output clipped, log limit {_size(limit)} reached]\n".encode()
                self._room = 0
            else:
                self._room -= len(data)
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


def _size(limit: int) -> str:
    return f"{limit >> 20}MiB" if limit and limit % (1 << 20) == 0 else f"{limit}B"
