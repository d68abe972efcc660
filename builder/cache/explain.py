"""Why a key was not found: how its parts differ from those of an earlier attempt at the same step, in words.

Which attempts are at the same step is for others to say: `builder.solver.pastbuilds` for builds on this machine.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgspec

from builder.cache.differences import differences, is_shell_form
from builder.cache.key import LIST, Parts, decode, encode

UNKNOWN = "no earlier build of this step"
NOT_ASKED = "the cache was not asked (--no-cache)"
FAILED, INTERRUPTED = "it failed last time", "it was interrupted last time"
_ALIKE = 0.5  # share of common words from which two instructions are taken for versions of one
_NAMED = 4  # differences that are named before "and 2 more differences"


class Attempt(msgspec.Struct, frozen=True):
    """An earlier build of a step."""

    key: str
    ended: str = ""
    """FAILED or INTERRUPTED; "" if it was done."""


class Earlier(msgspec.Struct, frozen=True):
    """Something to compare with: the parts of its key, {} if they are lost."""

    parts: Parts
    rows: Callable[[Any], list[Any] | None]
    """Gives the rows of a list in `parts`."""
    name: str = ""
    created: float = 0.0


def explain(parts: Parts, earlier: Earlier) -> str:
    """How the parts differ, in sentences without a full stop: `2 files changed: src/a.py; the user "app" was added`."""
    if not earlier.parts:
        return "it is not known any more what the earlier build of this step was made of"
    named = differences(earlier.parts, _as_stored(parts), earlier.rows)
    if not named:
        return "the format of cache keys changed"
    more = len(named) - _NAMED
    if more > 0:
        named[_NAMED:] = [f"and {more} more difference{'s' if more > 1 else ''}"]
    return "; ".join(named)


def gone(why: str, *, last: bool) -> str:
    """What became of the very same step: `why` is what its record says, `last` whether it was the latest attempt."""
    match why:
        case "pruned":
            return "its earlier result was removed by prune"
        case "failed":
            return f"{FAILED}, and nothing changed since" if last else "it failed when it was last like this"
        case "interrupted":
            return f"{INTERRUPTED}, and nothing changed since" if last else "it was interrupted when last like this"
        case _:
            return "its earlier result was found damaged and dropped"


def nearest(kind: str, parts: Parts, name: str, candidates: Iterable[Earlier],
            others: Collection[str] = ()) -> Earlier | None:
    """The candidate that is most like the step: one of the same name, or else an earlier wording of its instruction.

    `others` are the names of the steps beside it: what has the name of one of them is no earlier wording of this one.
    """
    best: tuple[tuple[float, ...], Earlier] | None = None
    parts = _as_stored(parts)
    words = _words(kind, parts)
    for candidate in candidates:
        same_name = candidate.name == name
        likeness = _likeness(words, _words(kind, candidate.parts))
        if not same_name and (likeness < _ALIKE or candidate.name in others):
            continue
        rank = (float(same_name), _shared(parts, candidate.parts), likeness, candidate.created)
        if best is None or rank > best[0]:
            best = rank, candidate
    return best[1] if best else None


def _as_stored(parts: Parts) -> Parts:
    """With lists for tuples, as parts come back; the `.list` ones, which may be long, are only walked through."""
    return {part: value if part.endswith(LIST) else decode(encode(value)) for part, value in parts.items()}


def _words(kind: str, parts: Parts) -> set[str]:
    """What the instruction says."""
    match kind:
        case "run":
            argv = parts.get("argv") or []
            return {word for text in (argv[-1:] if is_shell_form(argv) else argv) for word in text.split()}
        case "copy":
            return {*(path for paths in parts.get("sources") or [] for path in paths), str(parts.get("destination"))}
        case _:
            return {str(parts[name]) for name in ("path", "url", "remote") if parts.get(name)}


def _likeness(a: set[str], b: set[str]) -> float:
    return len(a & b) / max(len(a), len(b), 1)


def _shared(a: Parts, b: Parts) -> float:
    """How many parts are equal; lists of pairs and layers count by their share of equal members."""
    total = 0.0
    for name, value in a.items():
        if name.endswith(LIST) or name not in b:
            continue
        if value == b[name]:
            total += 1
        elif isinstance(value, list) and isinstance(b[name], list):
            other = [repr(member) for member in b[name]]
            total += sum(repr(member) in other for member in value) / max(len(value), len(other), 1)
    return total
