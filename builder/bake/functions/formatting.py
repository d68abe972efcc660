"""`format` and `formatlist`: the verbs of C's printf, as cty has them."""

from __future__ import annotations

import re
from decimal import Decimal

from builder.bake.errors import ExpressionError
from builder.bake.values import Value, bool_of, is_primitive, number_of, text_of, to_json

_VERB = re.compile(r"%(?P<flags>[ +\-0#]*)(?P<width>\d+)?(?:\.(?P<precision>\d*))?(?:\[(?P<index>\d+)\])?(?P<verb>.)",
                   re.DOTALL)
_MAX_WIDTH = 10_000


def format_text(template: str, *arguments: Value) -> str:
    """Raises ExpressionError for verbs that are none, and for arguments too many or too few."""
    position, highest = 0, 0

    def fill(match: re.Match[str]) -> str:
        nonlocal position, highest
        if match["verb"] == "%":
            return "%"
        if match["index"]:
            position = int(match["index"]) - 1
        if not 0 <= position < len(arguments):
            raise ExpressionError(f"not enough arguments for `{match[0]}`: need index {position + 1}, "
                                  f"but there are {len(arguments)}")
        value = arguments[position]
        position += 1
        highest = max(highest, position)
        return _padded(_written(match, value), match)

    text = _VERB.sub(fill, template)
    if highest < len(arguments):
        raise ExpressionError(f"too many arguments; only {highest} used by the format string")
    return text


def format_list(template: str, *arguments: Value) -> Value:
    """One text for every element of the lists among the arguments, which have to be of one length."""
    lengths = {len(argument) for argument in arguments if isinstance(argument, tuple)}
    if not lengths:
        return (format_text(template, *arguments),)
    if len(lengths) > 1:
        raise ExpressionError("all lists must have the same length")
    return tuple(
        format_text(template, *(argument[row] if isinstance(argument, tuple) else argument for argument in arguments))
        for row in range(lengths.pop()))


def _padded(text: str, match: re.Match[str]) -> str:
    width = min(int(match["width"] or 0), _MAX_WIDTH)
    if "-" in match["flags"]:
        return text.ljust(width)
    if "0" in match["flags"] and match["verb"] in "bdoxXeEfgG":
        sign = text[:1] if text[:1] in "+-" else ""
        return sign + text[len(sign):].rjust(width - len(sign), "0")
    return text.rjust(width)


def _written(match: re.Match[str], value: Value) -> str:
    verb, flags = match["verb"], match["flags"]
    precision = None if match["precision"] is None else min(int(match["precision"] or 0), _MAX_WIDTH)
    if verb == "v":
        return _any(value, "#" in flags)
    if value is None:
        raise ExpressionError(f"unsupported value for `{match[0]}`: null value cannot be formatted")
    if verb == "t":
        return text_of(bool_of(value))
    if verb in "sq":
        text = text_of(value)
        text = text if precision is None else text[:precision]
        return to_json(text) if verb == "q" else text
    if verb in "bdoxX":
        return _sign(flags, format(int(number_of(value)), verb))
    if verb in "eEfgG":
        number = Decimal(number_of(value))
        if verb in "gG" and precision is None:
            return _sign(flags, text_of(number))
        return _sign(flags, format(number, f".{6 if precision is None else precision}{verb}"))
    raise ExpressionError(f"unrecognized format character `{verb}`")


def _sign(flags: str, text: str) -> str:
    if text.startswith("-"):
        return text
    return "+" + text if "+" in flags else " " + text if " " in flags else text


def _any(value: Value, quoted: bool) -> str:
    if is_primitive(value) and not (quoted and isinstance(value, str)):
        return text_of(value)
    return to_json(value)
