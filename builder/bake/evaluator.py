"""Gives expressions their values. Pure, but for what a Scope is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Protocol, assert_never, cast

from builder.bake.budget import Budget, LimitExceeded
from builder.bake.errors import ExpressionError, UnknownName
from builder.bake.real import bits_of, divide, remainder, rounded
from builder.bake.syntax import (
    AnyExpression,
    Binary,
    Call,
    Conditional,
    Element,
    Expression,
    For,
    GetAttribute,
    Index,
    Literal,
    ObjectExpression,
    Splat,
    Template,
    TemplateFor,
    TupleExpression,
    Unary,
    Variable,
)
from builder.bake.types import unify
from builder.bake.values import (
    SetValue,
    Value,
    bool_of,
    elements,
    equals,
    kind_of,
    number_of,
    text_of,
)

ELEMENT = "*"
"""The name under which a scope keeps a Splat's element; no identifier can be it."""


class Scope(Protocol):
    """Where names are looked up."""

    @property
    def budget(self) -> Budget:
        """What evaluation is charged to."""
        ...

    def variable(self, name: str, path: tuple[str, ...]) -> Value:
        """Raises ExpressionError for a name that means nothing; `path` says which attributes are wanted of it."""
        ...

    def call(self, call: Call, scope: Scope) -> Value:
        """The result of a function, its arguments evaluated in `scope`. Raises ExpressionError."""
        ...


class LocalScope:
    """Names of a `for`, of a function's parameters or of a matrix, above those of `outer`."""

    def __init__(self, outer: Scope, names: Mapping[str, Value]) -> None:
        self._outer = outer
        self._names = names
        self.budget: Budget = outer.budget

    def variable(self, name: str, path: tuple[str, ...]) -> Value:
        return self._names[name] if name in self._names else self._outer.variable(name, path)

    def call(self, call: Call, scope: Scope) -> Value:
        return self._outer.call(call, scope)


def evaluate(expression: Expression, scope: Scope) -> Value:
    """Raises ExpressionError and LimitExceeded, with a place."""
    try:
        scope.budget.spend(1)
        return _evaluate(cast(AnyExpression, expression), scope, ())
    except (ExpressionError, LimitExceeded) as error:
        raise error.at(expression.location) from None
    except RecursionError:
        raise ExpressionError("the expression is nested too deeply", location=expression.location) from None


def _evaluate(expression: AnyExpression, scope: Scope, path: tuple[str, ...]) -> Value:
    match expression:
        case Literal(value=value):
            return value
        case Template(parts=parts):
            return _text(parts, scope)
        case TemplateFor():
            return _template_for(expression, scope)
        case Variable(name=name):
            return scope.variable(name, path)
        case Element():
            return scope.variable(ELEMENT, ())
        case GetAttribute(source=source, name=name):
            return _at(source, scope, name, (name, *path))
        case Index(source=source, key=key):
            chosen = evaluate(key, scope)
            return _at(source, scope, chosen, (chosen, *path) if isinstance(chosen, str) else ())
        case Splat(source=source, each=each):
            return _splat(source, each, scope)
        case Call():
            return scope.call(expression, scope)
        case Unary(operator=operator, operand=operand):
            value = evaluate(operand, scope)
            return not bool_of(value) if operator == "!" else _negate(number_of(value))
        case Binary(operator=operator, left=left, right=right):
            operands = evaluate(left, scope), evaluate(right, scope)
            scope.budget.value(*operands)
            return operate(operator, *operands)
        case Conditional():
            return _conditional(expression, scope)
        case TupleExpression(items=items):
            return tuple(evaluate(item, scope) for item in items)
        case ObjectExpression(items=items):
            return {_key(key, scope): evaluate(value, scope) for key, value in items}
        case For():
            return _for(expression, scope)
    assert_never(expression)


def _at(source: Expression, scope: Scope, key: Value, path: tuple[str, ...]) -> Value:
    return element(_evaluate(cast(AnyExpression, source), scope, path), key)


def element(value: Value, key: Value) -> Value:
    """`value[key]`. Raises ExpressionError."""
    if value is None:
        raise ExpressionError(f"cannot take `{text_of(key)}` of a null value")
    if isinstance(value, dict):
        name = text_of(key)
        if name not in value:
            raise UnknownName(f"there is no attribute or element `{name}`", name, value)
        return value[name]
    if isinstance(value, tuple) and not isinstance(value, SetValue):
        position = number_of(key)
        if not isinstance(position, int) or not 0 <= position < len(value):
            raise ExpressionError(f"index {text_of(position)} is out of range: there are {len(value)} elements")
        return value[position]
    raise ExpressionError(f"a {kind_of(value)} has no elements to index")


def _text(parts: Iterable[Expression], scope: Scope) -> str:
    return _joined([_part(part, scope) for part in parts], scope)


def _joined(texts: Sequence[str], scope: Scope) -> str:
    scope.budget.text(sum(map(len, texts)))
    return "".join(texts)


def _part(part: Expression, scope: Scope) -> str:
    try:
        return text_of(evaluate(part, scope))
    except ExpressionError as error:
        raise error.at(part.location) from None


def _key(key: Expression, scope: Scope) -> str:
    try:
        return text_of(evaluate(key, scope))
    except ExpressionError as error:
        raise error.at(key.location) from None


def _conditional(expression: Conditional, scope: Scope) -> Value:
    """The chosen result; the other one only gives its type, and may even fail."""
    condition = evaluate(expression.condition, scope)
    try:
        chosen = bool_of(condition)
    except ExpressionError as error:
        raise error.at(expression.condition.location) from None
    result = evaluate(expression.yes if chosen else expression.no, scope)
    try:
        other = evaluate(expression.no if chosen else expression.yes, scope)
    except ExpressionError:
        return result
    scope.budget.value(result, other)
    return unify(result, other)[0]


def _splat(source: Expression, each: Expression, scope: Scope) -> Value:
    value = evaluate(source, scope)
    items = value if isinstance(value, tuple) else () if value is None else (value,)
    return tuple(evaluate(each, LocalScope(scope, {ELEMENT: item})) for item in items)


def _names(key: str, value: str, pair: tuple[Value, Value]) -> dict[str, Value]:
    return {key: pair[0], value: pair[1]} if key else {value: pair[1]}


def _template_for(expression: TemplateFor, scope: Scope) -> str:
    pairs = elements(evaluate(expression.collection, scope))
    return _joined([_part(expression.body, LocalScope(scope, _names(expression.key, expression.value, pair)))
                    for pair in pairs], scope)


def _for(expression: For, scope: Scope) -> Value:
    results: list[Value] = []
    keyed: dict[str, Value] = {}
    grouped: dict[str, list[Value]] = {}
    for pair in elements(evaluate(expression.collection, scope)):
        inner = LocalScope(scope, _names(expression.key, expression.value, pair))
        if expression.condition is not None and not bool_of(evaluate(expression.condition, inner)):
            continue
        result = evaluate(expression.result, inner)
        if expression.result_key is None:
            results.append(result)
            continue
        key = _key(expression.result_key, inner)
        if expression.group:
            grouped.setdefault(key, []).append(result)
        elif key in keyed:
            raise ExpressionError(f"two different items produced the key `{key}`",
                                  location=expression.result_key.location,
                                  hint="`...` after the value gathers them in a list")
        else:
            keyed[key] = result
    keyed |= {key: tuple(items) for key, items in grouped.items()}
    return tuple(results) if expression.result_key is None else keyed


def operate(operator: str, left: Value, right: Value) -> Value:
    """A binary operator's result. Raises ExpressionError."""
    match operator:
        case "==" | "!=":
            return equals(left, right) is (operator == "==")
        case "&&" | "||":
            first, second = bool_of(left), bool_of(right)
            return first and second if operator == "&&" else first or second
    return _ARITHMETIC[operator](number_of(left), number_of(right))


def _negate(value: Value) -> Value:
    return rounded(-Fraction(value), bits_of(value))


_ARITHMETIC: dict[str, Callable[[Value, Value], Value]] = {
    "+": lambda a, b: rounded(Fraction(a) + Fraction(b), bits_of(a, b)),
    "-": lambda a, b: rounded(Fraction(a) - Fraction(b), bits_of(a, b)),
    "*": lambda a, b: rounded(Fraction(a) * Fraction(b), bits_of(a, b)),
    "/": divide, "%": remainder,
    "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
}
