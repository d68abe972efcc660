"""Variables: their default, the value that the environment gives instead, and what they must satisfy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import msgspec

from builder.bake.entries import fields_of
from builder.bake.errors import BakeError, ExpressionError
from builder.bake.evaluator import Scope, evaluate
from builder.bake.real import parse
from builder.bake.syntax import Block, Body, Expression
from builder.bake.types import ANY, Type, convert, parse_type
from builder.bake.values import (
    SetValue,
    Value,
    bool_of,
    from_json,
    is_primitive,
    kind_of,
    parse_json,
    text_of,
    to_json,
)
from builder.golang.bool import parse_bool
from builder.source import Location

Lookup: TypeAlias = Callable[[str], str | None]
"""The value that --var or the environment gives a variable."""

_JSON_SUFFIX = "_JSON"


class InvalidVariable(BakeError):
    code = "bake-variable"


class ValidationFailed(BakeError):
    code = "bake-validation"


class VariableDefinition(msgspec.Struct, frozen=True, eq=False):
    name: str
    type: Type | None
    """None where no type was given: the default's type counts then."""
    default: Expression | None
    description: str
    validations: tuple[Body, ...]
    location: Location


class Variable(msgspec.Struct, frozen=True, kw_only=True):
    """For `--list variables`."""

    name: str
    type: str = ""
    value: str | None = None
    """None for null."""
    description: str = ""


def define(block: Block, scope: Scope) -> VariableDefinition:
    """Raises BakeError for a type that is none."""
    body = block.body
    kind, default, description = body.get("type"), body.get("default"), body.get("description")
    return VariableDefinition(
        name=block.labels[0], type=parse_type(kind.value) if kind is not None else None,
        default=default.value if default is not None else None,
        description=text_of(evaluate(description.value, scope)) if description is not None else "",
        validations=tuple(each.body for each in body.of_type("validation")), location=block.location)


def value_of(definition: VariableDefinition, scope: Scope, lookup: Lookup, defined: Callable[[str], bool]) -> Value:
    """The variable's value: from the environment, else the default; null or "" without either. Raises BakeError.

    `NAME_JSON` in the environment holds a JSON value, unless a variable of that name exists (`defined`).
    """
    name, kind = definition.name, definition.type
    value: Value = None if kind is not None else ""
    if definition.default is not None:
        value = evaluate(definition.default, scope)
        scope.budget.value(value)
        try:
            value = convert(value, kind or ANY)
        except ExpressionError as error:
            raise InvalidVariable(f"invalid type {kind} for the default of variable `{name}`: {error.message}",
                                  location=definition.default.location) from None
    given, is_json = lookup(name), False
    if (given is None or kind is not None) and not defined(name + _JSON_SUFFIX):
        alternative = lookup(name + _JSON_SUFFIX)
        if alternative is not None:
            given, is_json = alternative, True
    if given is None:
        return value
    try:
        return _from_text(definition, given, value, is_json=is_json)
    except ExpressionError as error:
        raise InvalidVariable(f"invalid value `{given}` for variable `{name}`: {error.message}",
                              location=definition.location, cause=error.cause) from None


def _from_text(definition: VariableDefinition, text: str, default: Value, *, is_json: bool) -> Value:
    kind = definition.type
    if kind is None:
        if definition.default is None or default is None or isinstance(default, str):
            return text
        if not is_primitive(default):
            raise ExpressionError(f"a {kind_of(default)} without a `type` cannot be given from outside")
        return _primitive(text, kind_of(default))
    if is_json:
        try:
            return convert(from_json(parse_json(text)), kind)
        except ValueError as error:
            raise ExpressionError("it is not valid JSON", cause=str(error)) from None
    match kind.kind:
        case "string" | "number" | "bool":
            return _primitive(text, kind.kind)
        case "list" | "set":
            items = tuple(_primitive(field, _element(kind)) for field in fields_of(text))
            return SetValue.of(items) if kind.kind == "set" else items
        case "tuple":
            fields = fields_of(text)
            if len(fields) != len(kind.elements):
                raise ExpressionError(f"tuple expects {len(kind.elements)} elements but {len(fields)} are given")
            return tuple(_primitive(field, each.kind) for field, each in zip(fields, kind.elements, strict=True))
        case "map":
            pairs = [field.partition(":") for field in fields_of(text)]
            if any(not colon or ":" in value for _, colon, value in pairs):
                raise ExpressionError("every element has to be written key:value")
            return {key: _primitive(value, _element(kind)) for key, _, value in pairs}
    raise ExpressionError(f"a value of type {kind} can only be given as JSON, in {definition.name}{_JSON_SUFFIX}")


def _element(kind: Type) -> str:
    assert kind.element is not None
    return kind.element.kind


def _primitive(text: str, kind: str) -> Value:
    if kind == "string":
        return text
    try:
        if kind == "bool":
            return parse_bool(text)
        if kind == "number":
            return parse(text)
    except (ValueError, ExpressionError):
        pass
    if kind in ("bool", "number"):
        raise ExpressionError(f"`{text}` is not a {kind}")
    raise ExpressionError(f"elements of type {kind} can only be given as JSON")


def check(definitions: Iterator[VariableDefinition], scope: Scope) -> None:
    """Raises ValidationFailed for the first condition that does not hold."""
    for definition in definitions:
        for rule in definition.validations:
            condition, message = rule.get("condition"), rule.get("error_message")
            if condition is None or message is None:
                raise InvalidVariable("a validation needs `condition` and `error_message`",
                                      location=definition.location)
            result = evaluate(condition.value, scope)
            if result is None:
                raise ValidationFailed("condition expression must return either true or false, not null",
                                       location=condition.value.location)
            if not bool_of(result):
                raise ValidationFailed(f"validation of `{definition.name}` failed: "
                                       f"{text_of(evaluate(message.value, scope))}", location=condition.value.location)


def listed(definition: VariableDefinition, value: Value) -> Variable:
    """The variable as it is listed."""
    shown = None if value is None else text_of(value) if is_primitive(value) else to_json(value)
    return Variable(name=definition.name, type=str(definition.type) if definition.type else "", value=shown,
                    description=definition.description)
