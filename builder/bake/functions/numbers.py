"""Numbers, comparisons and logic."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal

from builder.bake.errors import ExpressionError
from builder.bake.evaluate import divide, operate, remainder
from builder.bake.functions import Function
from builder.bake.values import ARITHMETIC, Value, equals, normal

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _rounded(value: Value, how: str) -> int:
    return int(Decimal(value).to_integral_value(how))


def _power(base: Value, exponent: Value) -> Value:
    if isinstance(base, int) and isinstance(exponent, int) and 0 <= exponent <= 4096:
        return normal(base**exponent)
    try:
        return normal(Decimal(math.pow(base, exponent)))
    except (OverflowError, ValueError) as error:
        raise ExpressionError(str(error)) from None


def _logarithm(value: Value, base: Value) -> Value:
    try:
        return normal(Decimal(repr(math.log(value) / math.log(base))))
    except (ValueError, ZeroDivisionError):
        raise ExpressionError("a logarithm needs positive numbers, and a base other than 1") from None


def _parse_integer(text: str, base: int) -> Value:
    if not isinstance(base, int) or not 2 <= base <= 62:
        raise ExpressionError("base must be a whole number between 2 and 62 inclusive")
    digits = text.removeprefix("-")
    folded = digits.lower() if base <= 36 else digits
    value = 0
    for digit in folded:
        if (position := _DIGITS.find(digit)) < 0 or position >= base:
            raise ExpressionError(f"cannot parse `{text}` as a base {base} integer")
        value = value * base + position
    if not digits:
        raise ExpressionError(f"cannot parse `{text}` as a base {base} integer")
    return normal(-value if text.startswith("-") else value)


def _sign(value: int | Decimal) -> int:
    return int(value > 0) - int(value < 0)


def _extreme(choose: object) -> Function:
    return Function(lambda *numbers: choose(numbers), ("number",), "number")  # type: ignore[operator]  # min or max


def _operator(symbol: str, kind: str = "number") -> Function:
    return Function(lambda a, b: operate(symbol, a, b), (kind, kind))


FUNCTIONS = {
    "absolute": Function(lambda a: abs(a) if isinstance(a, int) else normal(ARITHMETIC.abs(a)), ("number",)),
    "add": _operator("+"), "subtract": _operator("-"), "multiply": _operator("*"),
    "divide": Function(divide, ("number", "number")), "modulo": Function(remainder, ("number", "number")),
    "negate": Function(lambda a: operate("-", 0, a), ("number",)),
    "and": _operator("&&", "bool"), "or": _operator("||", "bool"), "not": Function(lambda a: not a, ("bool",)),
    "equal": Function(equals, ("any?", "any?")), "notequal": Function(lambda a, b: not equals(a, b), ("any?", "any?")),
    "lessthan": _operator("<"), "lessthanorequalto": _operator("<="),
    "greaterthan": _operator(">"), "greaterthanorequalto": _operator(">="),
    "ceil": Function(lambda a: _rounded(a, ROUND_CEILING), ("number",)),
    "floor": Function(lambda a: _rounded(a, ROUND_FLOOR), ("number",)),
    "int": Function(lambda a: _rounded(a, ROUND_DOWN), ("number",)),
    "log": Function(_logarithm, ("number", "number")), "pow": Function(_power, ("number", "number")),
    "max": _extreme(max), "min": _extreme(min), "signum": Function(_sign, ("number",)),
    "parseint": Function(_parse_integer, ("string", "number")),
}
