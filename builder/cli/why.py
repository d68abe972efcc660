"""`builder why`: which steps of a build ran, and what made each of them miss the cache."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from builder.cache.differences import PARENT_CHANGED
from builder.cli.advice import advice
from builder.cli.commands import Command, Invocation
from builder.cli.flags import Flag, Kind
from builder.cli.table import ago
from builder.errors import UsageError
from builder.ui.text import printable

if TYPE_CHECKING:
    from builder.store.builds import Build, Step


class UnknownStep(UsageError):
    code = "unknown-step"

    def __init__(self, text: str, steps: tuple[Step, ...]) -> None:
        near = difflib.get_close_matches(text, [step.name for step in steps], 1, 0.4)
        super().__init__(f"the build has no step `{text}`",
                         hint=f"there is `{near[0]}`" if near else "`builder why` lists the steps")


def run(invocation: Invocation) -> int:
    with invocation.open() as builder:
        build = builder.find_build(invocation.flags.text("build"))
    steps = tuple(sorted(build.instructions, key=lambda step: step.ordinal))
    if invocation.arguments:
        steps = matching(build.steps, invocation.arguments[0])
    elif not invocation.flags.on("all"):
        steps = tuple(step for step in steps if step.outcome != "cached")
    print(report(build, steps), end="")
    return 0


def matching(steps: tuple[Step, ...], text: str) -> tuple[Step, ...]:
    """Steps by their number in the plan, or by a part of their name. Raises UnknownStep."""
    found = tuple(step for step in steps if text == str(step.ordinal)) if text.isdecimal() else ()
    found = found or tuple(step for step in steps if text.lower() in step.name.lower())
    if not found:
        raise UnknownStep(text, steps)
    return found


def report(build: Build, steps: tuple[Step, ...]) -> str:
    """A line on the build, then for each step what became of it and why."""
    cached = sum(step.outcome == "cached" for step in build.instructions)
    name = f" of {printable(build.name)}" if build.name else ""
    lines = [f"build {build.id}{name}, {ago(build.started)}: {build.state.value}, "
             f"{len(build.instructions)} steps, {cached} from the cache"]
    for step in steps:
        took = "" if step.outcome == "cached" else f" {step.seconds:.1f}s"
        lines += ["", f"@{step.ordinal} {printable(step.name)}", f"  {step.outcome.value}{took}"]
        if step.why:
            lines.append(f"  {printable(_reason(step, build))}")
            lines += [f"  help: {line}" for line in advice(step.why)]
    if not steps:
        lines += ["", "every step came from the cache"]
    return "\n".join(lines) + "\n"


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
    usage="why [OPTIONS] [STEP]", run=run, arguments=(0, 1),
    flags=(Flag("all", "Also the steps that came from the cache", Kind.BOOL, "a"),
           Flag("build", "Which build (default: the last one)", short="b", metavar="id")))
