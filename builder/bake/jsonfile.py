"""JSON text to a Body: HCL's JSON notation, in which strings are templates and blocks are objects by label."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from builder.bake.errors import BakeSyntaxError, ExpressionError
from builder.bake.hcl import parse_expression, parse_template
from builder.bake.real import parse
from builder.bake.syntax import Attribute, Block, Body, Expression, Literal, ObjectExpression, TupleExpression
from builder.source import Location, Source, Span

Pairs: TypeAlias = "list[tuple[str, Any]]"

_BLOCKS = ("group", "target", "variable", "function")
_SYNTAX = {"variable": ("type",), "function": ("params", "variadic_params")}
"""Attributes that hold no values but names and types."""
_START = Span(1, 1, 1, 2)


class _Object(list[tuple[str, Any]]):
    """A JSON object as its pairs: keys may repeat."""


def parse_json_file(source: Source) -> Body:
    """Raises BakeSyntaxError."""
    import json

    try:
        data = json.loads(source.text, object_pairs_hook=_Object, parse_float=parse, parse_int=parse)
    except json.JSONDecodeError as error:
        place = Location(source, Span(error.lineno, error.colno, error.lineno, error.colno + 1))
        raise BakeSyntaxError(f"invalid JSON: {error.msg.lower()}", location=place) from None
    except ExpressionError as error:
        raise BakeSyntaxError(error.message, location=Location(source, _START)) from None
    except ValueError as error:
        raise BakeSyntaxError("invalid JSON", cause=str(error), location=Location(source, _START)) from None
    except RecursionError:
        raise BakeSyntaxError("the JSON is nested too deeply", location=Location(source, _START)) from None
    if not isinstance(data, _Object):
        raise BakeSyntaxError("the file must hold a JSON object", location=Location(source, _START))
    return _Reader(source).file(data)


class _Reader:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._place = Location(source, _START)
        self._seen = 0

    def file(self, data: Pairs) -> Body:
        attributes: list[Attribute] = []
        blocks: list[Block] = []
        for name, value in data:
            if name in _BLOCKS:
                blocks.extend(self._labelled(name, value))
            elif name != "//":
                attributes.append(self._attribute(name, value))
        return Body(tuple(attributes), tuple(blocks))

    def _labelled(self, kind: str, value: Any) -> Iterator[Block]:
        for item in _objects(value):
            if not isinstance(item, _Object):
                raise BakeSyntaxError(f"`{kind}` must hold an object of {kind}s by name", location=self._place)
            for label, content in item:
                place = self._find(label)
                for body in _objects(content):
                    yield Block(kind, (label,), self._body(kind, body), place)

    def _body(self, kind: str, data: Any) -> Body:
        if not isinstance(data, _Object):
            raise BakeSyntaxError(f"a {kind} must be an object", location=self._place)
        attributes: list[Attribute] = []
        blocks: list[Block] = []
        for name, value in data:
            if kind == "variable" and name == "validation":
                blocks.extend(Block(name, (), self._body(name, item), self._place) for item in _objects(value))
            elif name in _SYNTAX.get(kind, ()):
                attributes.append(Attribute(name, self._names(value), self._place))
            elif name != "//":
                attributes.append(self._attribute(name, value))
        return Body(tuple(attributes), tuple(blocks))

    def _attribute(self, name: str, value: Any) -> Attribute:
        place = self._find(name)
        return Attribute(name, self._expression(value, place), place)

    def _names(self, value: Any) -> Expression:
        if isinstance(value, str):
            return parse_expression(value, self._place)
        if isinstance(value, list) and not isinstance(value, _Object):
            return TupleExpression(items=tuple(map(self._names, value)), location=self._place)
        raise BakeSyntaxError("a name or type is needed here", location=self._place)

    def _expression(self, value: Any, place: Location) -> Expression:
        if isinstance(value, str):
            return parse_template(value, place)
        if isinstance(value, _Object):
            items = tuple((self._expression(key, place), self._expression(item, place)) for key, item in value)
            return ObjectExpression(items=items, location=place)
        if isinstance(value, list):
            return TupleExpression(items=tuple(self._expression(item, place) for item in value), location=place)
        return Literal(value=value, location=place)

    def _find(self, key: str) -> Location:
        """Where the key is: keys are met in the order of the text."""
        import json

        quoted = json.dumps(key, ensure_ascii=False)
        at = self._source.text.find(quoted, self._seen)
        if at < 0:
            return self._place
        self._seen = at + len(quoted)
        line = self._source.text.count("\n", 0, at) + 1
        column = at - self._source.text.rfind("\n", 0, at)
        self._place = Location(self._source, Span(line, column, line, column + len(quoted)))
        return self._place


def _objects(value: Any) -> list[Any]:
    """One object, or a list of them: both notations mean blocks."""
    return list(value) if isinstance(value, list) and not isinstance(value, _Object) else [value]
