"""The shape of a bake definition, whichever notation it was written in: bodies of attributes and blocks, expressions.

Values only, nothing is evaluated here. Locations are for messages and never compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from builder.bake.real import Number
from builder.source import Location


class Expression(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    location: Location


class Literal(Expression, frozen=True, kw_only=True, eq=False):
    value: bool | Number | str | None


class Template(Expression, frozen=True, kw_only=True, eq=False):
    """Parts joined to a string."""

    parts: tuple[Expression, ...]


class TemplateFor(Expression, frozen=True, kw_only=True, eq=False):
    """`%{ for k, v in collection }body%{ endfor }`: the bodies joined to a string."""

    key: str
    value: str
    collection: Expression
    body: Expression


class Variable(Expression, frozen=True, kw_only=True, eq=False):
    name: str


class GetAttribute(Expression, frozen=True, kw_only=True, eq=False):
    source: Expression
    name: str


class Index(Expression, frozen=True, kw_only=True, eq=False):
    source: Expression
    key: Expression


class Element(Expression, frozen=True, kw_only=True, eq=False):
    """Inside a Splat's `each`: the element at hand."""


class Splat(Expression, frozen=True, kw_only=True, eq=False):
    """`source[*].a[0]`: `each` for every element of `source`; a value that is no list counts as a list of one."""

    source: Expression
    each: Expression


class Call(Expression, frozen=True, kw_only=True, eq=False):
    name: str
    arguments: tuple[Expression, ...]
    expand_last: bool = False


class Unary(Expression, frozen=True, kw_only=True, eq=False):
    operator: str
    operand: Expression


class Binary(Expression, frozen=True, kw_only=True, eq=False):
    operator: str
    left: Expression
    right: Expression


class Conditional(Expression, frozen=True, kw_only=True, eq=False):
    condition: Expression
    yes: Expression
    no: Expression


class TupleExpression(Expression, frozen=True, kw_only=True, eq=False):
    items: tuple[Expression, ...]


class ObjectExpression(Expression, frozen=True, kw_only=True, eq=False):
    items: tuple[tuple[Expression, Expression], ...]


class For(Expression, frozen=True, kw_only=True, eq=False):
    """`[for k, v in collection : result if condition]`, or with `result_key` an object."""

    key: str
    value: str
    collection: Expression
    result: Expression
    result_key: Expression | None = None
    group: bool = False
    """`result...`: values of equal keys are gathered in lists."""
    condition: Expression | None = None


class Attribute(msgspec.Struct, frozen=True, eq=False):
    name: str
    value: Expression
    location: Location
    """Of the name."""


class Block(msgspec.Struct, frozen=True, eq=False):
    type: str
    labels: tuple[str, ...]
    body: Body
    location: Location


class Body(msgspec.Struct, frozen=True, eq=False):
    attributes: tuple[Attribute, ...] = ()
    blocks: tuple[Block, ...] = ()

    def get(self, name: str) -> Attribute | None:
        return next((attribute for attribute in reversed(self.attributes) if attribute.name == name), None)

    def of_type(self, name: str) -> Iterator[Block]:
        return (block for block in self.blocks if block.type == name)


AnyExpression: TypeAlias = (
    Literal | Template | TemplateFor | Variable | GetAttribute | Index | Element | Splat | Call | Unary | Binary
    | Conditional | TupleExpression | ObjectExpression | For
)
