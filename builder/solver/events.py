"""What happens in a build, as values: the only thing that progress views, logs and records of builds see.

Vertices have the numbers that VertexNamed gives them; times are `time.time()` seconds. A vertex ends with exactly one
of VertexCached, VertexDone, VertexFailed or VertexCancelled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from builder.source import Location


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=str.lower):
    time: float


class BuildStarted(Event, frozen=True, kw_only=True):
    build: str
    """Id of the build's record (`builder builds`, `builder why`)."""


class VertexNamed(Event, frozen=True, kw_only=True):
    """A vertex that may run; sent before anything else about it."""

    vertex: int
    name: str
    inputs: tuple[int, ...] = ()
    location: Location | None = None
    internal: bool = False
    """Housekeeping (loading metadata, exporting) rather than an instruction."""


class VertexStarted(Event, frozen=True, kw_only=True):
    vertex: int
    why: str = ""
    """Why it was not taken from the cache, in words; "" for sources and exports."""


class VertexCached(Event, frozen=True, kw_only=True):
    vertex: int


class VertexLog(Event, frozen=True, kw_only=True):
    """Output of the step's process; `stream` is 1 (stdout) or 2 (stderr); not cut at line ends."""

    vertex: int
    stream: int
    data: bytes


class VertexProgress(Event, frozen=True, kw_only=True):
    """A transfer or another countable part of a vertex (one layer being pulled)."""

    vertex: int
    item: str
    current: int
    total: int = 0
    done: bool = False


class VertexDone(Event, frozen=True, kw_only=True):
    vertex: int


class VertexFailed(Event, frozen=True, kw_only=True):
    vertex: int
    error: str


class VertexCancelled(Event, frozen=True, kw_only=True):
    vertex: int


class WarningRaised(Event, frozen=True, kw_only=True):
    """A lint finding, or a note from the build (`rule` "" then)."""

    rule: str
    message: str
    description: str = ""
    url: str = ""
    location: Location | None = None
    vertex: int | None = None
    """The vertex under which progress shows it; None for one that only the summary at the end names."""


class BuildDone(Event, frozen=True, kw_only=True):
    build: str
    ok: bool


AnyEvent: TypeAlias = (
    BuildStarted | VertexNamed | VertexStarted | VertexCached | VertexLog | VertexProgress | VertexDone | VertexFailed
    | VertexCancelled | WarningRaised | BuildDone
)
Emit: TypeAlias = Callable[[AnyEvent], None]
"""Receives events; called from several threads, never at the same time."""
Transfer: TypeAlias = Callable[[str, int, int, bool], None]
"""Receives how far a transfer is: what, bytes so far, bytes in all, whether it is done. Called from several threads."""
