"""A place as somewhere to run commands: a RUN's own container made again, or a likely one where no RUN was.

What cannot be the same is said in notes: values of secrets are never kept, so they are those that are given now; files
of a build context are the ones that are there now.
"""

from __future__ import annotations

import os
from typing import TypeVar

import msgspec

from builder.cache.key import kind_of
from builder.context.local import LocalContext, find_ignore_file
from builder.errors import SandboxError
from builder.inspection.steprefs import ImagePlace, NoFiles, StepPlace
from builder.language.ignore import IgnoreRules
from builder.plan.vertices import BindMount, CacheMount, MakeDirectory, Mount, Run, SecretMount, SshMount
from builder.solver.ops.exec import RunExecutor
from builder.solver.resources import Resources
from builder.solver.results import LocalFiles, Result, Snapshot
from builder.store.builds import Build, Outcome, Step
from builder.store.layers import LayerId

AnOp = TypeVar("AnOp", Run, MakeDirectory)


class NoShell(SandboxError):
    code = "no-shell"

    def __init__(self, place: str) -> None:
        super().__init__(f"there is no shell in `{place}`",
                         hint="name a command behind it, or look at its files with `builder ls` and `builder cat`")


class Entrance(msgspec.Struct, frozen=True):
    """What it takes to run commands in a place."""

    executor: RunExecutor
    layers: tuple[LayerId, ...]
    notes: tuple[str, ...] = ()


def entrance(place: StepPlace | ImagePlace, resources: Resources, *, before: bool = False,
             term: str = "") -> Entrance:
    """Makes a place ready to be entered: after the step, for a failed one as it was when it failed, or `before` it.

    `term` becomes the variable TERM where the step has none. Raises NoFiles.
    """
    layers = place.layers_before() if before else place.layers()
    if isinstance(place, ImagePlace):
        return Entrance(RunExecutor(_with_term(_of_config(place), term), (Snapshot(layers),), resources), layers)
    op, inputs, notes = _reproduced(place, layers, resources)
    op = _with_term(op, term)
    if not before and place.step.outcome is Outcome.FAILED and place.step.layer is None:
        notes += ("what the step had changed before it failed was not kept",)
    return Entrance(RunExecutor(op, inputs, resources), layers, notes)


def _with_term(op: Run, term: str) -> Run:
    if not term or any(variable.startswith("TERM=") for variable in op.env):
        return op
    return msgspec.structs.replace(op, env=(*op.env, f"TERM={term}"))


def _of_config(place: ImagePlace) -> Run:
    config = place.config
    return Run(argv=(), env=tuple(config.env or ()), cwd=config.working_dir or "/", has_parent=True, user=config.user)


def _reproduced(place: StepPlace, layers: tuple[LayerId, ...],
                resources: Resources) -> tuple[Run, tuple[Result, ...], tuple[str, ...]]:
    """The step's own op over these layers, or without one that of the nearest RUN below it, without its mounts."""
    step = place.step
    if step.kind != kind_of(Run) or not step.op:
        return _nearest_run(place), (Snapshot(layers),), ()
    op = _recorded(step, Run)
    mounts = tuple(_optional(mount) for mount in op.mounts)
    notes = tuple(f"secret `{mount.id}` is missing; pass it with --secret" for mount in mounts
                  if isinstance(mount, SecretMount) and resources.secret(mount.id) is None)
    sources = step.inputs[1:] if op.has_parent else step.inputs
    inputs = (Snapshot(layers), *(_source(place, ordinal) for ordinal in sources))
    if any(isinstance(source, LocalFiles) for source in inputs):
        notes += ("files of the build context are as they are now",)
    if not op.has_parent:  # what was made on nothing is made on its own result here, which comes first
        mounts = tuple(_shifted(mount) for mount in mounts)
    return msgspec.structs.replace(op, mounts=mounts, has_parent=True), inputs, notes


def _nearest_run(place: StepPlace) -> Run:
    """What a RUN in place of the step would be like, as far as the steps below it tell."""
    step: Step | None = place.step
    cwd = ""
    while step is not None:
        if step.kind == kind_of(MakeDirectory) and step.op and not cwd:
            cwd = _recorded(step, MakeDirectory).path
        elif step.kind == kind_of(Run) and step.op:
            op = _recorded(step, Run)
            return msgspec.structs.replace(op, mounts=(), files=(), cwd=cwd or op.cwd, has_parent=True)
        step = place.step_at(step.inputs[0]) if step.has_parent and step.inputs else None
    return Run(argv=(), env=(), cwd=cwd or "/", has_parent=True)


def _recorded(step: Step, kind: type[AnOp]) -> AnOp:
    try:
        return msgspec.json.decode(step.op, type=kind)
    except msgspec.DecodeError as error:
        raise NoFiles(step, f"another version of builder recorded it: {error}") from error


def _optional(mount: Mount) -> Mount:
    """Secrets and agents that the step required need not be there to look around."""
    return msgspec.structs.replace(mount, required=False) if isinstance(mount, SecretMount | SshMount) else mount


def _shifted(mount: Mount) -> Mount:
    if isinstance(mount, BindMount | CacheMount) and mount.input is not None:
        return msgspec.structs.replace(mount, input=mount.input + 1)
    return mount


def _source(place: StepPlace, ordinal: int) -> Result:
    step = place.step_at(ordinal)
    if step is None:
        raise NoFiles(place.step, f"the record of the build does not have step {ordinal}")
    if not step.tree:
        return Snapshot(place.layers(ordinal))
    return LocalFiles(step.name, LocalContext(step.tree, _rules(place.build, step.tree)))


def _rules(build: Build, tree: str) -> IgnoreRules | None:
    """As the build had them: the Dockerfile's own ones count for the build's own context alone."""
    is_own = os.path.realpath(build.context) == tree and build.dockerfile != "-"
    found = find_ignore_file(tree, build.dockerfile if is_own else "")
    return IgnoreRules.parse(found[1]) if found else None
