"""What the command line changes in the config of an image: on its way in from the base, and at the end."""

from __future__ import annotations

import msgspec

from builder.oci import ContainerConfig
from builder.plan.planoptions import ImageSettings


def inherited(config: ContainerConfig, settings: ImageSettings) -> ContainerConfig:
    """A base image's config without the labels that are not wanted from it."""
    if not config.labels or (settings.inherit_labels and not settings.unset_labels):
        return config
    kept = {key: value for key, value in config.labels.items()
            if settings.inherit_labels and key not in settings.unset_labels}
    return msgspec.structs.replace(config, labels=kept or None)


def with_settings(config: ContainerConfig, settings: ImageSettings) -> ContainerConfig:
    """The image's config in the end; a variable that is set anew goes to the end."""
    if settings.labels:
        config = msgspec.structs.replace(config, labels={**(config.labels or {}), **settings.labels})
    if settings.env or settings.unset_env:
        kept = [entry for entry in config.env or () if entry.partition("=")[0] not in settings.env]
        kept += [f"{key}={value}" for key, value in settings.env.items()]
        env = tuple(entry for entry in kept if entry.partition("=")[0] not in settings.unset_env)
        config = msgspec.structs.replace(config, env=env)
    return config
