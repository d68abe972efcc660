"""`import --change`: Dockerfile instructions that change an image's config."""

from __future__ import annotations

from builder.errors import UsageError
from builder.language.parser import parse
from builder.lint.linter import LintConfig, Linter
from builder.oci import ContainerConfig, Platform
from builder.plan.planner import plan
from builder.plan.planoptions import NamedContext, PlanOptions
from builder.plan.vertices import ResolvedImage
from builder.platforms import host_platform
from builder.reference import Reference
from builder.source import Source


class _NoImages:
    """Resolves no images and contexts: changes name none."""

    def image(self, reference: Reference, platform: Platform) -> ResolvedImage:
        raise UsageError(f"a change cannot take files from `{reference}`")

    def named_context(self, name: str, platform: Platform) -> NamedContext | None:
        return None

    def ignored(self, path: str) -> bool:
        return False


def apply_changes(changes: tuple[str, ...]) -> ContainerConfig | None:
    """The config that the instructions make of an empty one; None without changes.

    Raises DockerfileError, and UsageError for instructions that change files.
    """
    if not changes:
        return None
    host = host_platform()
    text = "\n".join(("FROM scratch", *changes))
    planned = plan(parse(Source("--change", text)), PlanOptions(build_platform=host, platform=host), _NoImages(),
                   Linter(LintConfig()))
    if planned.vertices:
        raise UsageError("a change can only be an instruction that makes no layer",
                         hint="CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME")
    return planned.config.config
