"""A plan as text, for `builder build --print plan` and for golden tests."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from builder.oci import encode
from builder.plan.vertices import Op, Plan, Vertex

_HIDDEN = {"name", "descriptors", "has_parent"}


def dump(plan: Plan) -> str:
    """One paragraph a vertex: number, kind, inputs, what people see, then each field that is not its default."""
    lines = [f"platform {plan.platform}"]
    for number, vertex in enumerate(plan.vertices):
        lines += ["", *_vertex(number, vertex)]
    lines += ["", f"output {plan.output}", f"config {encode(plan.config.config).decode()}"]
    lines += [f"history {'-' if entry.empty_layer else 'L'} {entry.created_by}" for entry in plan.history]
    return "\n".join(lines) + "\n"


def _vertex(number: int, vertex: Vertex) -> Iterator[str]:
    inputs = ", ".join(f"#{needed}" for needed in vertex.inputs)
    kind = type(vertex.op).__name__
    flags = "  (not from the cache)" if vertex.ignore_cache else ""
    yield f"#{number} {kind}({inputs})  {vertex.name}{flags}"
    yield from (f"    {field}: {_text(value)}" for field, value in _fields(vertex.op))


def _fields(op: Op) -> Iterator[tuple[str, object]]:
    for field in msgspec.structs.fields(op):
        value = getattr(op, field.name)
        if field.name not in _HIDDEN and value != field.default:
            yield field.name, value


def _text(value: object) -> str:
    if isinstance(value, str):
        return repr(str(value))
    return msgspec.json.encode(value).decode()
