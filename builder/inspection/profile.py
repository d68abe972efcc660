"""Where the time and the space of a build went."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from builder.inspection.graph import critical_path
from builder.store.builds import Build, Phase, Step
from builder.store.layers import LayerId


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One step."""

    number: int
    name: str
    outcome: str
    seconds: float
    share: float
    """Of the build's time, 0 to 1."""
    size: int | None
    """Bytes of its layer on disk, or of its tar while it is only packed; None without one."""
    critical: bool
    """On the critical path."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    build: str
    seconds: float
    """From the beginning to the end of the build."""
    phases: tuple[Phase, ...]
    rows: tuple[Row, ...]
    """In the order of the plan."""
    busy: float
    """Seconds of all steps together."""
    critical: float
    """Seconds of the steps on the critical path."""
    parallelism: float
    """How many steps ran at a time on average, while any did."""
    peak: int
    """How many ran at the same time at most."""


def profile_of(build: Build, size_of: Callable[[LayerId], int | None]) -> Profile:
    """The profile of a build that has ended. `size_of` gives a layer's bytes, None if it is gone."""
    total = max(build.ended - build.started, 0.0)
    spans = [(step.started, step.started + step.seconds) for step in build.steps if step.started]
    path = critical_path({step.ordinal: step.seconds for step in build.steps},
                         {step.ordinal: step.inputs for step in build.steps})
    busy = sum(end - start for start, end in spans)
    covered = _covered(spans)
    seconds = {step.ordinal: step.seconds for step in build.steps}
    rows = [Row(number=step.ordinal, name=step.name, outcome=step.outcome.value, seconds=step.seconds,
                share=step.seconds / total if total else 0.0, size=_size(step, size_of),
                critical=step.ordinal in path and step.seconds > 0)
            for step in sorted(build.instructions, key=lambda step: step.ordinal)]
    return Profile(build=build.id, seconds=total, phases=build.phases, rows=tuple(rows), busy=busy,
                   critical=sum(seconds[number] for number in path), parallelism=busy / covered if covered else 0.0,
                   peak=_peak(spans))


def _size(step: Step, size_of: Callable[[LayerId], int | None]) -> int | None:
    layers = step.layers or ((step.layer,) if step.layer else ())
    sizes = [size for layer in layers if (size := size_of(layer)) is not None]
    return sum(sizes) if sizes else None


def _covered(spans: Sequence[tuple[float, float]]) -> float:
    """Seconds in which at least one span is."""
    covered, last = 0.0, 0.0
    for start, end in sorted(spans):
        covered += max(end - max(start, last), 0.0)
        last = max(last, end)
    return covered


def _peak(spans: Sequence[tuple[float, float]]) -> int:
    turns = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    running = highest = 0
    for _, turn in turns:
        running += turn
        highest = max(highest, running)
    return highest
