"""Why a key was not found: the earlier record that is nearest, and how the parts differ from its parts, in words.

Records of the same name come first, then those that share most parts. A record of another name counts only if its
instruction looks like an earlier wording of this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from builder.cache.differences import differences, is_shell_form
from builder.cache.key import LIST, Parts, decode, encode
from builder.store.records import Record

UNKNOWN = "no earlier build of this step"
_ALIKE = 0.5  # share of common words from which two instructions are taken for versions of one
_TOLD = 4  # differences that are told before "and 2 more differences"


class Earlier(msgspec.Struct, frozen=True):
    """A record to compare with, and the parts of its key."""

    record: Record
    parts: Parts
    rows: Callable[[Any], list[Any] | None]
    """Gives the rows of a list in `parts`."""


def explain(kind: str, parts: Parts, name: str, candidates: Sequence[Earlier], *, key: str = "") -> str:
    """The reason in a sentence without a full stop: `2 files changed: src/a.py, setup.cfg`."""
    for candidate in candidates:
        if key and candidate.record.key == key and candidate.record.layer is None:
            return _gone(candidate.record)
    # As stored parts come back, with lists for tuples; the lists, which may be long, are only walked through.
    parts = {part: value if part.endswith(LIST) else decode(encode(value)) for part, value in parts.items()}
    nearest = _nearest(kind, parts, name, candidates)
    if nearest is None:
        return UNKNOWN
    told = differences(nearest.parts, parts, nearest.rows)
    if not nearest.parts:
        return "it is not known any more what the earlier build of this step was made of"
    if not told:
        return "the format of cache keys changed"
    more = len(told) - _TOLD
    if more > 0:
        told[_TOLD:] = [f"and {more} more difference{'s' if more > 1 else ''}"]
    return "; ".join(told)


def _gone(record: Record) -> str:
    if record.gone == "pruned":
        return "its earlier result was removed by prune"
    return "its earlier result was found damaged and dropped"


def _nearest(kind: str, parts: Parts, name: str, candidates: Iterable[Earlier]) -> Earlier | None:
    best: tuple[tuple[float, ...], Earlier] | None = None
    words = _words(kind, parts)
    for candidate in candidates:
        same_name = candidate.record.name == name
        likeness = _likeness(words, _words(kind, candidate.parts))
        if not same_name and likeness < _ALIKE:
            continue
        rank = (float(same_name), _shared(parts, candidate.parts), likeness, candidate.record.created)
        if best is None or rank > best[0]:
            best = rank, candidate
    return best[1] if best else None


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
