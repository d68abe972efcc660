"""What became of a step in earlier builds of the same thing: what a miss is compared with.

Builds are versions of one thing if their origins say so: the same context and Dockerfile, or a tag in common. Within
such a build it is the step of the same stage with the same instruction; or else one whose instruction is gone today,
and that was like this one or stood in a stage of another name. Anything else, a COPY beside this one, a step of another
project with the same words, says nothing about why this step was not found.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property

import msgspec

from builder.cache.explain import FAILED, INTERRUPTED, Attempt
from builder.cache.key import kind_of
from builder.plan.vertices import Plan
from builder.store import Store
from builder.store.builds import BuildId, BuildMissing, Origin, Outcome, Step

_BUILDS = 256  # the latest ones: those before them are not looked at
_VERSIONS = 16  # of them, that are of the same origin
_ALIKE = 0.5  # share of common words from which two instructions are taken for versions of one
_NAME = re.compile(r"\[(?P<stage>[^\]]*?) *\d+/\d+\] (?P<instruction>.*)", re.DOTALL)
_ENDED = {Outcome.FAILED: FAILED, Outcome.CANCELLED: INTERRUPTED}


class _Place(msgspec.Struct, frozen=True):
    """Where a step stands: equal for versions of one step."""

    origin: int
    """Which of the build's own origins it belongs to; 0 where there is one."""
    stage: str
    instruction: str
    kind: str


class _Past(msgspec.Struct, frozen=True):
    place: _Place
    attempt: Attempt


class History:
    """The earlier builds of one build; usable from several threads."""

    def __init__(self, store: Store, origins: Sequence[Origin], build: BuildId) -> None:
        """`build` is the one that is running; "" for none."""
        self._store = store
        self._origins = origins
        self._build = build

    def attempts(self, plan: Plan, index: int) -> list[Attempt]:
        """The earlier builds of a vertex, the latest first; [] if there was none."""
        if not self._origins:
            return []
        places = [self._place(vertex.name, kind_of(vertex.op)) for vertex in plan.vertices]
        place, present = places[index], Counter(places)
        position = places[:index].count(place)
        found = (_version(place, position, present, steps) for steps in self._versions)
        return [past.attempt for past in found if past is not None]

    def _place(self, name: str, kind: str) -> _Place:
        for number, origin in enumerate(self._origins):
            if not origin.name or name.startswith(f"[{origin.name} "):
                return _place(number, origin, name, kind)
        return _Place(0, "", name, kind)

    @cached_property
    def _versions(self) -> list[list[_Past]]:
        """The steps of earlier builds, of the latest first."""
        found: list[list[_Past]] = []
        for build in self._store.build_ids()[:_BUILDS]:
            if build != self._build and (steps := self._steps(build)):
                found.append(steps)
                if len(found) == _VERSIONS:
                    break
        return found

    def _steps(self, build: BuildId) -> list[_Past]:
        """The steps that a build has of what is built now."""
        with contextlib.suppress(BuildMissing):
            pairs = [(number, theirs) for theirs in self._store.get_build_alone(build).origins
                     for number, ours in enumerate(self._origins) if _is_same(ours, theirs)]
            if pairs:
                steps = sorted(self._store.get_build(build).steps, key=lambda step: step.ordinal)
                return [past for number, theirs in pairs for past in _of_origin(number, theirs, steps)]
        return []


def _is_same(ours: Origin, theirs: Origin) -> bool:
    if not set(ours.tags).isdisjoint(theirs.tags):
        return True
    return (ours.context, ours.dockerfile) == (theirs.context, theirs.dockerfile) and ours.context != "-"


def _of_origin(number: int, origin: Origin, steps: Iterable[Step]) -> Iterable[_Past]:
    for step in steps:
        if step.key and step.outcome is not Outcome.RUNNING and (
                not origin.name or step.name.startswith(f"[{origin.name} ")):
            yield _Past(_place(number, origin, step.name, step.kind), Attempt(step.key, _ENDED.get(step.outcome, "")))


def _place(number: int, origin: Origin, name: str, kind: str) -> _Place:
    if origin.name:
        name = f"[{name.removeprefix(f'[{origin.name} ')}"
    match = _NAME.fullmatch(name)
    return _Place(number, match["stage"], match["instruction"], kind) if match else _Place(number, "", name, kind)


def _version(place: _Place, position: int, present: Counter[_Place], steps: Sequence[_Past]) -> _Past | None:
    """The step's version in an earlier build; `position` counts equal ones, `present` has all of today's."""
    same = [past for past in steps if past.place == place]
    if same:
        return same[position] if position < len(same) else None
    free = [past for past in steps if past.place not in present
            and (past.place.origin, past.place.kind) == (place.origin, place.kind)]
    moved = [past for past in free if past.place.instruction == place.instruction]
    if moved:
        return moved[0]
    reworded = [(likeness, past) for past in free if past.place.stage == place.stage
                and (likeness := _likeness(past.place.instruction, place.instruction)) >= _ALIKE]
    return max(reworded, key=lambda pair: pair[0])[1] if reworded else None


def _likeness(a: str, b: str) -> float:
    """By the words of two instructions of one kind; the keyword is none."""
    first, second = set(a.split()[1:]), set(b.split()[1:])
    return len(first & second) / max(len(first), len(second), 1)
