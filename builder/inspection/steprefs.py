"""Names of places: `@6`, `@last-failed`, `@make`, `@~1:6`, `1a20c0f3c:6`, or an image.

Every step of a recorded build has a place, also of a failed or an old one, for as long as its layers are kept. A step's
files are made of layers, so a record needs only to say which layer a step added to which other step's result.
"""

from __future__ import annotations

import re

import msgspec

from builder.errors import StoreError, UsageError
from builder.golang.suggest import close_match
from builder.oci import ContainerConfig
from builder.store import Store
from builder.store.builds import Build, Outcome, Step, find_build
from builder.store.layers import LayerId

LAST, LAST_FAILED = "last", "last-failed"
_STEP = re.compile(r"@(?:~(?P<back>[0-9]{1,6}):)?(?P<step>.*)", re.DOTALL)
_OF_BUILD = re.compile(r"(?P<build>[0-9a-f]{6,17}):(?P<step>.+)", re.DOTALL)
_SEARCHED = 50


class NoSuchPlace(UsageError):
    code = "no-such-step"

    def __init__(self, text: str, build: Build | None = None) -> None:
        where = f"build {build.id} has no step `{text}`" if build else f"there is no step `{text}`"
        names = [step.name for step in build.instructions] if build else []
        near = close_match(text, names, 0.4)
        listing = f"`builder why --all --build {build.id}`" if build else "`builder why --all`"
        super().__init__(where, hint=f"there is `{near}`" if near else f"{listing} lists the steps by their numbers")


class AmbiguousPlace(UsageError):
    code = "ambiguous-step"

    def __init__(self, text: str, steps: tuple[Step, ...]) -> None:
        super().__init__(f"`{text}` is in the names of {len(steps)} steps",
                         notes=tuple(f"@{step.ordinal} is {step.name}" for step in steps[:5]),
                         hint=f"give the number, such as @{steps[0].ordinal}")


class NoFiles(StoreError):
    code = "step-has-no-files"

    def __init__(self, step: Step, why: str) -> None:
        super().__init__(f"the files of step @{step.ordinal} `{step.name}` are not there", cause=why,
                         hint="run the build again; cached steps take no time")


class StepPlace(msgspec.Struct, frozen=True):
    """A step of a recorded build."""

    build: Build
    step: Step

    def layers(self, ordinal: int | None = None) -> tuple[LayerId, ...]:
        """The layers of the step's result, bottom first: for a failed one with what it had changed.

        Of another step of the build if `ordinal` is given. Raises NoFiles for one that has no result.
        """
        steps = {step.ordinal: step for step in self.build.steps}
        found: list[LayerId] = []
        at: int | None = self.step.ordinal if ordinal is None else ordinal
        while at is not None:
            step = steps.get(at)
            if step is None or step.tree:
                raise NoFiles(self.step, f"it needs step {at}, which the record of the build does not have")
            if step.layer is not None:
                found.append(step.layer)
            elif step.outcome is not Outcome.FAILED and not step.layers:
                raise NoFiles(self.step, f"step {at} `{step.name}` was {step.outcome.value}")
            found += reversed(step.layers)
            at = step.inputs[0] if step.has_parent and step.inputs else None
        return tuple(reversed(found))

    def layers_before(self) -> tuple[LayerId, ...]:
        """The layers that the step started from; none for one that has no parent."""
        return self.layers(self.step.inputs[0]) if self.step.has_parent and self.step.inputs else ()

    def step_at(self, ordinal: int) -> Step | None:
        return next((step for step in self.build.steps if step.ordinal == ordinal), None)

    def __str__(self) -> str:
        return f"{self.build.id}:{self.step.ordinal}"


class ImagePlace(msgspec.Struct, frozen=True):
    """An image of the store, unpacked."""

    name: str
    image_layers: tuple[LayerId, ...]
    config: ContainerConfig

    def layers(self) -> tuple[LayerId, ...]:
        return self.image_layers

    def layers_before(self) -> tuple[LayerId, ...]:
        return ()

    def __str__(self) -> str:
        return self.name


def find_step(store: Store, text: str) -> StepPlace | None:
    """The step that `text` names; None where it looks like no step's name, but an image's.

    Raises NoSuchPlace, AmbiguousPlace, NoBuilds, BuildMissing.
    """
    if text == f"@{LAST_FAILED}":
        return _last_failed(store)
    if found := _STEP.fullmatch(text):
        back = int(found["back"] or 0)
        ids = store.build_ids()
        build = find_build(store, ids[back]) if 0 < back < len(ids) else find_build(store)
        if back >= max(len(ids), 1):
            raise NoSuchPlace(text)
        return _step_of(build, found["step"] or LAST)
    if (found := _OF_BUILD.fullmatch(text)) and any(id.startswith(found["build"]) for id in store.build_ids()):
        return _step_of(find_build(store, found["build"]), found["step"])
    return None


def find_steps(build: Build, text: str) -> tuple[Step, ...]:
    """The step with the number `text`, or all that have `text` in their names. Raises NoSuchPlace."""
    if text.isdecimal():
        found = tuple(step for step in build.steps if step.ordinal == int(text))
    else:
        found = tuple(step for step in build.instructions if text.lower() in step.name.lower())
    if not found:
        raise NoSuchPlace(text, build)
    return found


def split_path(text: str) -> tuple[str, str]:
    """`PLACE:/path` as its two parts; the path is "" where there is none."""
    place, colon, path = text.partition(":/")
    return place, "/" + path if colon else ""


def _last_failed(store: Store) -> StepPlace:
    for build in store.builds(_SEARCHED):
        for step in build.steps:
            if step.outcome is Outcome.FAILED:
                return StepPlace(build, step)
    raise NoSuchPlace(f"@{LAST_FAILED}")


def _step_of(build: Build, text: str) -> StepPlace:
    steps = build.instructions
    if text == LAST_FAILED:
        steps, text = tuple(step for step in steps if step.outcome is Outcome.FAILED), LAST
    if text == LAST:
        if not steps:
            raise NoSuchPlace(text, build)
        return StepPlace(build, max(steps, key=lambda step: step.ordinal))
    found = find_steps(build, text)
    if len(found) > 1:
        raise AmbiguousPlace(text, found)
    return StepPlace(build, found[0])
