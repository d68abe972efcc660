"""Collects vertices; equal ops over equal inputs become one vertex, so identical steps of two stages run once."""

from __future__ import annotations

from typing import Any

import msgspec

from builder.plan.errors import NulByte
from builder.plan.vertices import AnyOp, Plan, Vertex
from builder.source import Location

_CONTENT = "content"
"""The field of an InlineFile."""


class GraphBuilder:
    def __init__(self) -> None:
        self.vertices: list[Vertex] = []
        self._known: dict[tuple[bytes, tuple[int, ...], bool], int] = {}

    def add(self, op: AnyOp, inputs: tuple[int, ...] = (), *, name: str, location: Location | None = None,
            stage: str = "", ignore_cache: bool = False) -> int:
        """The index of the vertex for `op` over `inputs`; the first name that it was added under stays.

        Raises NulByte for an op that no kernel could be asked for.
        """
        encoded = msgspec.msgpack.encode(op)
        identity = (encoded, inputs, ignore_cache)
        known = self._known.get(identity)
        if known is None:
            if b"\0" in encoded and (text := _with_nul(msgspec.msgpack.decode(encoded))) is not None:
                raise NulByte(text, location)
            known = self._known[identity] = len(self.vertices)
            self.vertices.append(Vertex(op=op, inputs=inputs, name=name, location=location, stage=stage,
                                        ignore_cache=ignore_cache))
        return known

    def include(self, plan: Plan) -> int | None:
        """Adds the vertices of another plan; the index of what its output is here."""
        numbers: list[int] = []
        for vertex in plan.vertices:
            numbers.append(self.add(
                vertex.op, tuple(numbers[needed] for needed in vertex.inputs), name=vertex.name,
                location=vertex.location, stage=vertex.stage, ignore_cache=vertex.ignore_cache))
        return None if plan.output is None else numbers[plan.output]


def _with_nul(value: Any) -> str | None:
    """A text in an op's fields that holds a NUL byte; here-documents may, for they become files."""
    if isinstance(value, str):
        return value if "\0" in value else None
    if isinstance(value, dict):
        items = [item for key, each in value.items() if key != _CONTENT for item in (key, each)]
    else:
        items = value if isinstance(value, list) else []
    return next((found for found in map(_with_nul, items) if found is not None), None)


def reached(vertices: list[Vertex], output: int | None) -> tuple[tuple[Vertex, ...], dict[int, int]]:
    """The vertices that `output` needs, in the same order, and their new numbers by their old ones."""
    if output is None:
        return (), {}
    wanted, stack = set(), [output]
    while stack:
        index = stack.pop()
        if index not in wanted:
            wanted.add(index)
            stack += vertices[index].inputs
    renumbered = {old: new for new, old in enumerate(sorted(wanted))}
    kept = tuple(msgspec.structs.replace(vertices[old], inputs=tuple(renumbered[n] for n in vertices[old].inputs))
                 for old in sorted(wanted))
    return kept, renumbered
