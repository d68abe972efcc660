"""`builder why`: which steps of a build ran, and what made each of them miss the cache."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from builder.cache.differences import PARENT_CHANGED
from builder.cli.advice import advice
from builder.cli.command import Command, Invocation
from builder.cli.commands.diff import PLACES
from builder.cli.pflag import Flag, Kind
from builder.cli.table import ago
from builder.cli.value_types import BUILD, STEP
from builder.ui.text import printable

if TYPE_CHECKING:
    from builder.api import Builder
    from builder.store.builds import Build, Step

STEPS = f"{PLACES}\nN or WORDS without the @ mean every step that has them."
WHICH_BUILD = Flag("build", "Which build (default: the last one)", short="b", metavar="id", type=BUILD)


def run(invocation: Invocation) -> int:
    with invocation.open() as builder:
        build, steps = asked_for(builder, invocation)
    if not invocation.arguments:
        steps = tuple(step for step in steps if invocation.flags.on("all") or step.outcome != "cached")
    print(report(build, steps, _columns()), end="")
    return 0


def _columns() -> int:
    """The terminal's; 0 where output is no terminal and nothing is wrapped."""
    import shutil

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def asked_for(builder: Builder, invocation: Invocation) -> tuple[Build, tuple[Step, ...]]:
    """The build of --build, or the last one, and of it the steps that the argument names; without one, all.

    An argument may also be what `builder debug` takes for one step.
    Raises NoSuchPlace, AmbiguousPlace, NoBuilds, BuildMissing.
    """
    from builder.inspection.steprefs import find_step, find_steps

    wanted = invocation.flags.text("build")
    text = invocation.arguments[0] if invocation.arguments else ""
    if text and not wanted and (place := find_step(builder.store, text)) is not None:
        return place.build, (place.step,)
    build = builder.find_build(wanted)
    if text:
        return build, find_steps(build, text.removeprefix("@"))
    return build, tuple(sorted(build.instructions, key=lambda step: step.ordinal))


def report(build: Build, steps: tuple[Step, ...], columns: int = 0) -> str:
    """A line on the build, then for each step what became of it and why; advice wrapped to `columns`."""
    cached = sum(step.outcome == "cached" for step in build.instructions)
    name = f" of {printable(build.name)}" if build.name else ""
    when = ago(build.started)
    lines = [f"build {build.id}{name}, {when[0].lower()}{when[1:]}: {build.state.value}, "
             f"{len(build.instructions)} steps, {cached} from the cache"]
    for step in steps:
        took = "" if step.outcome == "cached" else f" {step.seconds:.1f}s"
        lines += ["", f"@{step.ordinal} {printable(step.name)}", f"  {step.outcome.value}{took}"]
        if step.why:
            lines.append(f"  {printable(_reason(step, build))}")
            lines += [line for text in advice(step.why) for line in _wrapped(f"  help: {text}", columns)]
    if not steps:
        lines += ["", "every step came from the cache"]
    return "\n".join(lines) + "\n"


def _wrapped(text: str, columns: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, max(columns, 40), subsequent_indent=" " * 8) if columns else [text]


def _reason(step: Step, build: Build) -> str:
    """Why it ran; where that is another step, with the number of that one."""
    below = _changed_below(step, build)
    if below is None:
        return step.why
    return "; ".join(f"{sentence} (see @{below.ordinal})" if sentence in PARENT_CHANGED else sentence
                     for sentence in step.why.split("; "))


def _changed_below(step: Step, build: Build) -> Step | None:
    """The first step that it lies on that did not come from the cache: where the trouble began."""
    steps = {one.ordinal: one for one in build.steps}
    found, at = None, step
    while at.has_parent and at.inputs and at.inputs[0] in steps:
        at = steps[at.inputs[0]]
        found = at if at.outcome != "cached" else found
    return found


COMMAND = Command(
    "why", "[OPTIONS] [STEP]", run, arguments=(0, 1), takes=STEP, notes=STEPS,
    flags=(Flag("all", "Also the steps that came from the cache", Kind.BOOL, "a"), WHICH_BUILD))
