"""--save-stages: the stages that a target needs become images of the store too, without names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from builder.builds.options import BuildOptions
from builder.images.assemble import Assembler, BaseLayers, ImageSource
from builder.images.outputs import ImageOptions
from builder.oci import ImageConfig
from builder.plan.vertices import Plan, SavedStage
from builder.solver.results import Snapshot
from builder.store import Store

NAME_LABEL = "io.buildah.stage.name"
BASE_LABEL = "io.buildah.stage.base"
"""Buildah's, which tools look for."""

StagePlan = tuple[Plan, Callable[[SavedStage], Snapshot | None]]
"""A plan, and what gives the files of its stages; None for one that was not built, since a cache has what follows."""


def save_stages(plans: Sequence[StagePlan], options: BuildOptions, store: Store, base_layers: BaseLayers,
                say: Callable[[str], None]) -> list[Plan]:
    """Saves each stage, for all platforms; the plans, whose own images have labels too if --stage-labels asks for it.

    Raises as Assembler does.
    """
    saved: dict[int, str] = {}
    assembler = Assembler(store, ImageOptions(), base_layers)
    for position, stage in enumerate(plans[0][0].stages):
        sources = []
        for plan, snapshot_of in plans:
            one = plan.stages[position]
            snapshot = snapshot_of(one)
            if snapshot is not None:
                labels = {**options.layer_labels, **_labels(one, saved, options)}
                sources.append(_source(plan, one, snapshot, labels))
        if len(sources) < len(plans):
            say(f"stage {stage.name} was not built: a cache has what is taken from it")
            continue
        image = assembler.image(sources)
        saved[stage.index] = image.config_digest or image.descriptor.digest
        store.tag(image.descriptor.digest, image.descriptor, origin="built")
        say(f"saving stage {stage.name} as {saved[stage.index]}")
    return [_labelled(plan, saved, options) for plan, _ in plans]


def _source(plan: Plan, stage: SavedStage, snapshot: Snapshot, labels: dict[str, str]) -> ImageSource:
    below = len(stage.image.layers) if stage.image else 0
    return ImageSource(platform=plan.platform, config=_with_labels(stage.config, labels), history=stage.history,
                       layers=snapshot.layers[below:], base=stage.image, epoch=plan.epoch)


def _labels(stage: SavedStage, saved: dict[int, str], options: BuildOptions) -> dict[str, str]:
    if not options.stage_labels:
        return {}
    base = stage.base if stage.base_stage is None else saved.get(stage.base_stage, stage.base)
    return {NAME_LABEL: stage.name, BASE_LABEL: base}


def _labelled(plan: Plan, saved: dict[int, str], options: BuildOptions) -> Plan:
    assert plan.target is not None
    return msgspec.structs.replace(plan, config=_with_labels(plan.config, _labels(plan.target, saved, options)))


def _with_labels(config: ImageConfig, labels: dict[str, str]) -> ImageConfig:
    if not labels:
        return config
    return msgspec.structs.replace(config, config=msgspec.structs.replace(
        config.config, labels={**(config.config.labels or {}), **labels}))
