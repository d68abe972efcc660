"""A function of bake files: what it takes, and how it is called."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from builder.bake.budget import Budget
from builder.bake.errors import ExpressionError
from builder.bake.types import ANY, Type, convert
from builder.bake.values import Value, number_of


class Function(msgspec.Struct, frozen=True):
    """Parameter types are words: string, number, whole (a number without a fraction), bool, list, map, strings (a
    list of them), texts (one that may hold null), same (a list whose elements take one type), set (the same without
    repetition), any; `?` allows null.
    """

    run: Callable[..., Value]
    parameters: tuple[str, ...] = ()
    rest: str = ""
    """The type of further arguments; "" when there are none."""
    size: Callable[..., int] | None = None
    """How many characters and elements the result may have, where that can be more than the arguments have."""

    counts: bool = False
    """Whether it charges what it does itself: the Budget is its first argument then."""

    def __call__(self, name: str, arguments: tuple[Value, ...], budget: Budget) -> Value:
        """Raises LimitExceeded for what would be too large, ExpressionError for arguments that do not fit and where
        there is no result.
        """
        budget.value(*arguments)
        count, wanted = len(arguments), len(self.parameters)
        if count < wanted or (count > wanted and not self.rest):
            least = "at least " if self.rest else ""
            plural = "" if wanted == 1 else "s"
            raise ExpressionError(f"function `{name}` takes {least}{wanted} argument{plural}, not {count}")
        words = (*self.parameters, *(self.rest,) * (count - wanted))
        checked = []
        for position, (value, word) in enumerate(zip(arguments, words, strict=True), 1):
            try:
                checked.append(_argument(value, word))
            except ExpressionError as error:
                raise ExpressionError(f"invalid argument {position} of function `{name}`: {error.message}") from None
        try:
            if self.size is not None:
                budget.text(self.size(*checked))
            return self.run(budget, *checked) if self.counts else self.run(*checked)
        except ExpressionError as error:
            raise ExpressionError(f"function `{name}`: {error.message}") from None
        except (ValueError, ArithmeticError) as error:  # digits beyond what Python reads, dates beyond its calendar
            raise ExpressionError(f"function `{name}`: {error}") from None


def _argument(value: Value, word: str) -> Value:
    if value is None:
        if word.endswith("?"):
            return None
        raise ExpressionError("argument must not be null")
    match word.removesuffix("?"):
        case "any":
            return value
        case "list":
            if not isinstance(value, tuple):
                raise ExpressionError("a list is required")
            return value
        case "map":
            if not isinstance(value, dict):
                raise ExpressionError("a map is required")
            return value
        case "whole":
            number = number_of(value)
            if not isinstance(number, int) or abs(number) >= 1 << 63:
                raise ExpressionError("a whole number is required")
            return number
        case "strings" | "texts":
            texts = convert(value, Type("list", element=Type("string")))
            if word == "strings" and None in texts:
                raise ExpressionError("a null value is no string")
            return texts
        case "same" | "set":
            return convert(value, Type("set" if word == "set" else "list", element=ANY))
        case kind:
            return convert(value, Type(kind))
