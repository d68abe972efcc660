"""Numbers, comparisons and logic."""

from __future__ import annotations

import math

from builder.bake.errors import ExpressionError
from builder.bake.evaluator import operate
from builder.bake.functions.function import Function
from builder.bake.real import Counted, Number, divide, from_float, remainder, rounded
from builder.bake.values import Value, equals

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _power(base: Number, exponent: Number) -> Value:
    try:
        return from_float(_go_pow(float(base), float(exponent)))
    except (OverflowError, ValueError) as error:
        raise ExpressionError(str(error)) from None


def _go_log(x: float) -> float:
    """FreeBSD's logarithm, which is Go's: its last digit is not always that of C's here."""
    fraction, exponent = math.frexp(x)
    if x <= 0 or math.isinf(x):
        raise ValueError("a negative number has no logarithm")
    if fraction < math.sqrt(2) / 2:
        fraction, exponent = fraction * 2, exponent - 1
    f = fraction - 1
    s = f / (2 + f)
    s2 = s * s
    s4 = s2 * s2
    odd = s2 * (6.666666666666735130e-01 + s4 * (2.857142874366239149e-01 + s4 * (
        1.818357216161805012e-01 + s4 * 1.479819860511658591e-01)))
    even = s4 * (3.999999999940941908e-01 + s4 * (2.222219843214978396e-01 + s4 * 1.531383769920937332e-01))
    half = 0.5 * f * f
    return exponent * 6.93147180369123816490e-01 - (
        (half - (s * (half + odd + even) + exponent * 1.90821492927058770002e-10)) - f)


def _go_pow(x: float, y: float) -> float:
    """Go's math.Pow, which multiplies by squaring: its last digit is not always that of C's."""
    if y in (0, 1) or x in (0, 1) or abs(y) >= 1 << 63:
        return math.pow(x, y)
    if abs(y) == 0.5:
        return math.sqrt(x) if y > 0 else 1 / math.sqrt(x)
    fraction, whole = math.modf(abs(y))
    if fraction and x < 0:
        raise ValueError("a negative number has no such power")
    if fraction > 0.5:
        fraction, whole = fraction - 1, whole + 1
    result, exponent = (math.exp(fraction * math.log(x)) if fraction else 1.0), 0
    factor, power = math.frexp(x)
    bits = int(whole)
    while bits:
        if abs(power) > 1 << 12:
            exponent += power
            break
        if bits & 1:
            result, exponent = result * factor, exponent + power
        factor, power = factor * factor, power * 2
        if factor < 0.5:
            factor, power = factor * 2, power - 1
        bits >>= 1
    return math.ldexp(1 / result, -exponent) if y < 0 else math.ldexp(result, exponent)


def _logarithm(value: Number, base: Number) -> Value:
    """With infinities where C's functions have them."""
    try:
        upper, lower = (_go_log(float(number)) if number else -math.inf for number in (value, base))
        return from_float(upper / lower)
    except (OverflowError, ValueError, ZeroDivisionError):
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
    return rounded(-value if text.startswith("-") else value)


def _sign(value: Number) -> int:
    return Counted(int(value > 0) - int(value < 0))


def _extreme(choose: object) -> Function:
    return Function(lambda *numbers: choose(numbers), ("number",), "number")  # type: ignore[operator]  # min or max


def _operator(symbol: str, kind: str = "number") -> Function:
    return Function(lambda a, b: operate(symbol, a, b), (kind, kind))


FUNCTIONS = {
    "absolute": Function(lambda a: operate("-", 0, a) if a < 0 else a, ("number",)),
    "add": _operator("+"), "subtract": _operator("-"), "multiply": _operator("*"),
    "divide": Function(divide, ("number", "number")), "modulo": Function(remainder, ("number", "number")),
    "negate": Function(lambda a: operate("-", 0, a), ("number",)),
    "and": _operator("&&", "bool"), "or": _operator("||", "bool"), "not": Function(lambda a: not a, ("bool",)),
    "equal": Function(equals, ("any?", "any?")), "notequal": Function(lambda a, b: not equals(a, b), ("any?", "any?")),
    "lessthan": _operator("<"), "lessthanorequalto": _operator("<="),
    "greaterthan": _operator(">"), "greaterthanorequalto": _operator(">="),
    "ceil": Function(math.ceil, ("number",)),
    "floor": Function(math.floor, ("number",)),
    "int": Function(int, ("number",)),
    "log": Function(_logarithm, ("number", "number")), "pow": Function(_power, ("number", "number")),
    "max": _extreme(max), "min": _extreme(min), "signum": Function(_sign, ("whole",)),
    "parseint": Function(_parse_integer, ("string", "number")),
}
