"""`format` and `formatlist`: the verbs of C's printf, as cty has them."""

from __future__ import annotations

import re

from builder.bake.errors import ExpressionError
from builder.bake.functions.clusters import clusters
from builder.bake.real import Number, format_number
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
        return _written(match, value)

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


def format_size(template: str, *arguments: Value) -> int:
    """At most what `format_text` and `format_list` return: every verb may be padded, every argument be used again."""
    rows = max((len(argument) for argument in arguments if isinstance(argument, tuple)), default=1)
    verbs = list(_VERB.finditer(template))
    padding = sum(_limited(match["width"]) + _limited(match["precision"]) for match in verbs)
    longest = max((len(text) for argument in arguments for text in (argument if isinstance(argument, tuple) else (
        argument,)) if isinstance(text, str)), default=1)
    return rows * (len(template) + padding + len(verbs) * longest)


def _limited(text: str | None) -> int:
    number = int(text) if text and len(text) < 10 else 0
    if number > _MAX_WIDTH or (text and len(text) >= 10):
        raise ExpressionError(f"a width or precision of more than {_MAX_WIDTH} is not supported")
    return number


def _padded(sign: str, text: str, match: re.Match[str], *, zeros: bool = False) -> str:
    missing = _limited(match["width"]) - len(sign) - len(clusters(text))
    if missing <= 0:
        return sign + text
    if "-" in match["flags"]:
        return sign + text + " " * missing
    return sign + "0" * missing + text if zeros and "0" in match["flags"] else " " * missing + sign + text


def _written(match: re.Match[str], value: Value) -> str:
    verb, flags = match["verb"], match["flags"]
    precision = None if match["precision"] is None else _limited(match["precision"])
    if verb == "v":
        return _padded("", _any(value, "#" in flags), match)
    if value is None:
        raise ExpressionError(f"unsupported value for `{match[0]}`: null value cannot be formatted")
    if verb == "t":
        return _padded("", text_of(bool_of(value)), match)
    if verb in "sq":
        text = text_of(value)
        text = text if precision is None else "".join(clusters(text)[:precision])
        return _padded("", to_json(text) if verb == "q" else text, match)
    if verb in "bdoxX":
        return _whole(match, number_of(value), precision)
    if verb in "eEfgG":
        default = None if verb in "gG" else 6
        text = format_number(number_of(value), verb, default if precision is None else precision)
        return _padded(_sign(flags, text), text.removeprefix("-"), match, zeros=True)
    raise ExpressionError(f"unrecognized format character `{verb}`")


def _whole(match: re.Match[str], number: Number, precision: int | None) -> str:
    if not isinstance(number, int):
        raise ExpressionError(f"unsupported value for `{match[0]}`: an integer is required")
    sign, digits = _sign(match["flags"], str(number)), format(abs(number), match["verb"])
    if "#" in match["flags"]:
        sign += {"o": "0", "x": "0x", "X": "0X", "b": "0b"}.get(match["verb"], "")
    if precision is None:
        return _padded(sign, digits, match, zeros=True)
    if precision == 0 and number == 0:
        return ""
    return _padded(sign, digits.rjust(precision, "0"), match)


def _sign(flags: str, text: str) -> str:
    return "-" if text.startswith("-") else "+" if "+" in flags else " " if " " in flags else ""


def _any(value: Value, quoted: bool) -> str:
    if quoted or not is_primitive(value) or isinstance(value, bool):
        return to_json(value)
    return value if isinstance(value, str) else format_number(value, "g", None)
