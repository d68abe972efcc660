"""HCL's standard functions, as buildx offers them, by name. Tables are loaded when the first function is called."""

from __future__ import annotations

from functools import lru_cache

from builder.bake.functions.function import Function


@lru_cache
def standard_functions() -> dict[str, Function]:
    from builder.bake.functions import arithmetic as numbers
    from builder.bake.functions import collections, encoding, network, regexes, sets, strings, versions
    from builder.bake.functions import timestamps as times

    rooms = (numbers, strings, regexes, collections, sets, encoding, times, network, versions)
    return {name: function for room in rooms for name, function in room.FUNCTIONS.items()}
