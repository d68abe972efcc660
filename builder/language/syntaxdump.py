"""A Dockerfile as nested lists, for people: `builder build --print ast`, and the expectations of tests.

    (dockerfile
      (stage 1
        (from 1 (image "debian:bookworm") (name "base"))
        (run 2-3 (command (shell (text "make"))))))

A number behind a head is the line (or lines) of an instruction; fields that have their default, or say no, are left
out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from builder.golang.quote import quote
from builder.language.instructions import Dockerfile, Stage, Statement
from builder.language.runmounts import RunMount
from builder.source import Span

_WIDTH = 110

Node: TypeAlias = "str | list[Node]"


def dump(dockerfile: Dockerfile) -> str:
    """All that the parser found, without the source text; ends with a newline."""
    node: list[Node] = ["dockerfile"]
    if dockerfile.escape != "\\":
        node.append(["escape", quote(dockerfile.escape)])
    node += [["directive", _lines(d.span), d.key, quote(d.value)] for d in dockerfile.directives]
    node += [["empty-continuation", _lines(empty.span)] for empty in dockerfile.empty_continuations]
    node += [_statement(statement) for statement in dockerfile.global_args]
    node += [_stage(number, stage) for number, stage in enumerate(dockerfile.stages)]
    return "\n".join(_layout(node, 0)) + "\n"


def _stage(number: int, stage: Stage) -> Node:
    node: list[Node] = ["stage", str(number)]
    if stage.description:
        node.append(["description", quote(stage.description)])
    return [*node, _statement(stage.statement), *map(_statement, stage.body)]


def _statement(statement: Statement) -> Node:
    node: list[Node] = [_head(statement.instruction), _lines(statement.span), *_fields(statement.instruction)]
    if statement.comments:
        node.append(["comments", *map(quote, statement.comments)])
    return node


def _head(struct: msgspec.Struct) -> str:
    return struct.__struct_config__.tag or type(struct).__name__.lower()  # type: ignore[return-value]  # tags are text


def _fields(struct: msgspec.Struct) -> list[Node]:
    fields: list[Node] = []
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        if field.name == "is_script":
            continue  # follows from the text
        if value == field.default or (value in (None, False) and field.default is msgspec.NODEFAULT):
            continue
        if value is True:
            fields.append([field.encode_name])
        elif isinstance(value, tuple):
            fields.append([field.encode_name, *map(_value, value)])
        else:
            fields.append([field.encode_name, _value(value)])
    return fields


def _value(value: object) -> Node:
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, RunMount):
        return quote(value.text)
    if isinstance(value, msgspec.Struct):
        return [_head(value), *_fields(value)]
    return str(value).lower()


def _lines(span: Span) -> str:
    return str(span.line) if span.line == span.end_line else f"{span.line}-{span.end_line}"


def _layout(node: Node, indent: int) -> Sequence[str]:
    """The node on one line if it fits and holds no instructions, else its lists on lines of their own."""
    margin = "  " * indent
    flat = _flat(node)
    if isinstance(node, str) or (len(margin + flat) <= _WIDTH and node[0] not in ("dockerfile", "stage")):
        return [margin + flat]
    atoms = [item for item in node if isinstance(item, str)]
    lists = [item for item in node if not isinstance(item, str)]
    if not lists:
        return [margin + flat]
    lines = [f"{margin}({' '.join(atoms)}"]
    for item in lists:
        lines += _layout(item, indent + 1)
    lines[-1] += ")"
    return lines


def _flat(node: Node) -> str:
    return node if isinstance(node, str) else f"({' '.join(map(_flat, node))})"
