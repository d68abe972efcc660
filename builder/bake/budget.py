"""How much work a definition may cause.

A few lines can ask for more than a machine has: values that double from line to line, products of lists, functions
that call each other twice. What is evaluated is counted, and what values would hold is known before they are made.
The limits are far above what any real definition needs; docs/bake.md names them.
"""

from __future__ import annotations

from builder.bake.errors import BakeError
from builder.bake.values import Value

MAX_WORK = 500_000
"""Evaluated expressions, with eight elements and 256 characters of a function's arguments counting as one."""
MAX_SIZE = 16 << 20
"""Elements and characters in one value."""
MAX_TARGETS = 10_000
"""Targets and groups of one definition."""


class LimitExceeded(BakeError):
    """Not an ExpressionError: `try` does not catch it."""

    code = "bake-limit"


class Budget:
    """Counts what one definition has caused. Raises LimitExceeded."""

    def __init__(self) -> None:
        self._left = MAX_WORK

    def spend(self, units: int) -> None:
        self._left -= units
        if self._left < 0:
            raise LimitExceeded(f"the definition takes more than {MAX_WORK:,} steps to evaluate",
                                hint="something multiplies: nested `for`, functions that call functions, long lists")

    def text(self, characters: int) -> None:
        """For a text about to be made."""
        if characters > MAX_SIZE:
            raise LimitExceeded(f"a value of more than {MAX_SIZE >> 20} Mi characters and elements",
                                hint="something multiplies here, such as a variable in a variable in a variable")
        self.spend(characters >> 8)

    def value(self, *values: Value) -> None:
        """For values about to be walked through, whatever they share counted as often as it is there."""
        nodes, characters = _weight(values, {})
        self.text(nodes + characters)
        self.spend(nodes >> 3)


def _weight(value: Value, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """Elements and characters in `value`."""
    if isinstance(value, str):
        return 1, len(value)
    if not isinstance(value, tuple | dict):
        return 1, 0
    if id(value) in known:
        return known[id(value)]
    nodes, characters = 1, 0
    if isinstance(value, dict):
        characters = sum(map(len, value))
    for item in value.values() if isinstance(value, dict) else value:
        more = _weight(item, known)
        nodes, characters = nodes + more[0], characters + more[1]
    known[id(value)] = nodes, characters
    return nodes, characters
