"""Numbers as HCL has them: binary floating point of 512 bits, written with the fewest decimals that mean them.

A whole number is an int, any other a Real. Go's math/big is what HCL computes with: every result is rounded to the
nearest number of that size, ties to even, and `1 / 3` is written with 155 decimals.
"""

from __future__ import annotations

from decimal import Context, Decimal
from fractions import Fraction
from typing import TypeAlias

from builder.bake.errors import ExpressionError

BITS = 512
MAX_DIGITS = 4000
"""Before and behind the point: enough for anything that is meant."""
_EXACT = Context(prec=40_000)


class Real(Fraction):
    """A number with a fraction; `bits` is how precise it is (53 where it comes from a function of C's)."""

    __slots__ = ("bits",)
    bits: int


class Counted(int):
    """A whole number that a function has counted, of 64 bits: what only such numbers come to has no more."""

    bits = 64


Number: TypeAlias = int | Real


def rounded(value: Fraction | int, bits: int = BITS) -> Number:
    """The nearest number of `bits` bits. Raises ExpressionError where it would take too many digits to write down."""
    if not value:
        return 0
    numerator, denominator = value.numerator, value.denominator
    exponent = abs(numerator).bit_length() - denominator.bit_length()
    if abs(exponent) > MAX_DIGITS * 3.33:
        raise ExpressionError(f"numbers of more than {MAX_DIGITS} digits are not supported")
    if denominator == 1 and exponent < bits:
        return numerator
    shift = bits - exponent
    if shift >= 0:
        numerator <<= shift
    else:
        denominator <<= -shift
    mantissa, rest = divmod(abs(numerator), denominator)
    if (excess := mantissa.bit_length() - bits) > 0:  # what is cut off counts like the rest of the division
        rest += (mantissa & ((1 << excess) - 1)) * denominator
        denominator <<= excess
        mantissa, shift = mantissa >> excess, shift - excess
    if 2 * rest > denominator or (2 * rest == denominator and mantissa & 1):
        mantissa += 1
    mantissa = -mantissa if numerator < 0 else mantissa
    if shift <= 0:
        return mantissa << -shift
    if not mantissa & ((1 << shift) - 1):
        return mantissa >> shift
    real = Real(mantissa, 1 << shift)
    real.bits = bits
    return real


def parse(text: str) -> Number:
    """A decimal number. Raises ExpressionError."""
    try:
        number = Decimal(text)
    except ArithmeticError:
        raise ExpressionError(f"a number is required, not `{text}`") from None
    if not number.is_finite() or "_" in text or text.strip() != text:
        raise ExpressionError(f"a number is required, not `{text}`")
    if (number and abs(number.adjusted()) >= MAX_DIGITS) or len(text) > MAX_DIGITS * 2:
        raise ExpressionError(f"numbers of more than {MAX_DIGITS} digits are not supported")
    return rounded(Fraction(number))


def divide(left: Number, right: Number) -> Number:
    """Raises ExpressionError for a division by zero."""
    if not right:
        raise ExpressionError("division by zero")
    return rounded(Fraction(left) / Fraction(right), bits_of(left, right))


def remainder(left: Number, right: Number) -> Number:
    """With the sign of `left`, which it is where `right` is 0."""
    if not right:
        return left
    times = int(divide(left, right))
    return rounded(Fraction(left) - Fraction(rounded(Fraction(right) * times)))


def from_float(value: float) -> Number:
    """Raises ExpressionError for what is no number."""
    if value != value or value in (float("inf"), float("-inf")):
        raise ExpressionError("the result is not a finite number")
    return rounded(Fraction(value), 53)


def bits_of(*values: Number) -> int:
    """How precise the result of an operation is."""
    return max(getattr(value, "bits", BITS) for value in values)


# -- as text -----------------------------------------------------------------------------------------------------------


def text_of_number(value: Number) -> str:
    """Plainly, without an exponent."""
    if isinstance(value, int) and value.bit_length() <= BITS:
        return str(value)
    return format_number(value, "f", None)


def format_number(value: Number, verb: str, precision: int | None) -> str:
    """As Go's `%e`, `%f` and `%g` write it; without a precision in the fewest digits that mean the number."""
    digits, point = _decimal(Fraction(value))
    if precision is None:
        digits, point = _shortest(value, digits, point)
    sign = "-" if value < 0 else ""
    match verb.lower():
        case "e":
            if precision is not None:
                digits, point = _cut(digits, point, precision + 1)
            text = _scientific(digits, point, len(digits) - 1 if precision is None else precision)
        case "f":
            if precision is not None:
                digits, point = _cut(digits, point, point + precision)
            text = _plain(digits, point, max(len(digits) - point, 0) if precision is None else precision)
        case _:
            text = _general(digits, point, precision)
    return sign + (text.upper() if verb.isupper() else text)


def _general(digits: str, point: int, precision: int | None) -> str:
    if precision is not None:
        precision = precision or 1
        digits, point = _cut(digits, point, precision)
    limit = 6 if precision is None else precision
    if precision is not None and limit > len(digits) >= point:
        limit = len(digits)
    if not -4 <= point - 1 < limit:
        return _scientific(digits, point, len(digits) - 1)
    return _plain(digits, point, max(len(digits) - point, 0))


def _scientific(digits: str, point: int, precision: int) -> str:
    exponent = point - 1 if digits else 0
    digits = digits or "0"
    rest = digits[1:precision + 1].ljust(max(precision, 0), "0")
    return f"{digits[0]}{'.' if rest else ''}{rest}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _plain(digits: str, point: int, precision: int) -> str:
    whole = digits[:point].ljust(point, "0") if point > 0 else "0"
    behind = ("0" * -point + digits if point < 0 else digits[max(point, 0):])[:precision].ljust(precision, "0")
    return f"{whole or '0'}.{behind}" if precision > 0 else whole or "0"


def _decimal(value: Fraction) -> tuple[str, int]:
    """The exact digits of its size, `0.DIGITS * 10**point`, no zeros at either end."""
    if not value:
        return "", 0
    power = value.denominator.bit_length() - 1
    text = f"{_EXACT.create_decimal(abs(value.numerator) * 5**power):f}"
    return text.rstrip("0"), len(text) - power


def _cut(digits: str, point: int, count: int) -> tuple[str, int]:
    """`count` digits of them, the last one rounded, ties to even."""
    if count >= len(digits):
        return digits, point
    if count < 0:
        return "", 0
    rest = digits[count:]
    up = rest[0] >= "5" and (rest != "5" or (count > 0 and int(digits[count - 1]) % 2 == 1))
    return _up(digits, point, count) if up else _down(digits, point, count)


def _down(digits: str, point: int, count: int) -> tuple[str, int]:
    kept = digits[:count].rstrip("0")
    return kept, point if kept else 0


def _up(digits: str, point: int, count: int) -> tuple[str, int]:
    kept = digits[:count].rstrip("9")
    if not kept:
        return "1", point + 1
    return kept[:-1] + str(int(kept[-1]) + 1), point


def _shortest(value: Number, digits: str, point: int) -> tuple[str, int]:
    """The fewest digits that only this number, among those of its size, is nearest to (math/big's roundShortest)."""
    if not digits:
        return digits, point
    bits = value.bits if isinstance(value, Real) else BITS
    size = abs(Fraction(value))
    # lower and upper are half a unit of the last bit away
    scale = bits + 1 - (size.numerator.bit_length() - size.denominator.bit_length())
    mantissa = size * Fraction(2) ** scale
    if mantissa >= 1 << (bits + 1):
        mantissa, scale = mantissa / 2, scale - 1
    whole = int(mantissa)
    lower = _decimal(Fraction(whole - 1) / Fraction(2) ** scale)[0]
    upper = _decimal(Fraction(whole + 1) / Fraction(2) ** scale)[0]
    inclusive = not whole & 2
    for at, digit in enumerate(digits):
        low, high = lower[at:at + 1] or "0", upper[at:at + 1] or "0"
        down = low != digit or (inclusive and at + 1 == len(lower))
        up = digit != high and (inclusive or int(digit) + 1 < int(high) or at + 1 < len(upper))
        if down and up:
            return _cut(digits, point, at + 1)
        if down:
            return _down(digits, point, at + 1)
        if up:
            return _up(digits, point, at + 1)
    return digits, point
