"""Checks a Dockerfile by its text alone: no image, registry or context is looked at.

What only a base image can tell is not checked: whether a variable is defined in a stage that stands on an image, and
the image's platform. `builder build --check` asks the images.
"""

from __future__ import annotations

from collections.abc import Iterable

from builder.errors import BuilderError, DockerfileErrors
from builder.language.ignore import IgnoreRules
from builder.language.instructions import Dockerfile
from builder.language.parser import parse
from builder.lint import rules
from builder.lint.linter import InvalidCheckOption, LintConfig, Linter
from builder.lint.practice_checks import check_practices
from builder.lint.report import Report
from builder.lint.rules import Finding
from builder.oci import ContainerConfig, Descriptor, DiffID, Digest, ImageConfig, MediaType, Platform, RootFS
from builder.plan.planner import plan
from builder.plan.planoptions import NamedContext, PlanOptions
from builder.plan.scope import DEFAULT_PATH
from builder.plan.vertices import FromStore, ResolvedImage
from builder.platforms import host_platform
from builder.reference import Reference
from builder.source import Source

UNKNOWN_DIGEST = Digest(f"sha256:{'0' * 64}")


def check_offline(source: Source, *, practices: frozenset[str] = frozenset(), ignore: IgnoreRules | None = None,
                  has_ignore_file: bool | None = None) -> Report:
    """BuildKit's checks of all stages, and those of the `practices` (names of rules) of our own.

    A mistake in the file is the report's `error`.
    """
    try:
        dockerfile = parse(source)
        linter = Linter(LintConfig.parse(dockerfile.directive("check") or ""))
    except (DockerfileErrors, InvalidCheckOption) as error:
        return Report(source=source, error=error)
    failure: BuilderError | None = None
    platform = host_platform()
    try:
        options = PlanOptions(build_platform=platform, platform=platform, all_stages=True)
        plan(dockerfile, options, _Unknown(ignore), linter)
    except BuilderError as error:
        failure = error
    if practices:
        check_practices(dockerfile, linter, practices, has_ignore_file=has_ignore_file)
    return Report(source=source, error=failure, findings=known_offline(dockerfile, linter.findings))


def known_offline(dockerfile: Dockerfile, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those findings that hold whatever the images are."""
    unknown = _lines_on_images(dockerfile)
    return tuple(finding for finding in findings if not _needs_image(finding, unknown))


def unknown_image(name: str, platform: Platform) -> ResolvedImage:
    """Stands for an image that nobody has looked at: it has nothing but a PATH."""
    config = ImageConfig(architecture=platform.architecture, os=platform.os, variant=platform.variant,
                         config=ContainerConfig(env=(f"PATH={DEFAULT_PATH}",)),
                         rootfs=RootFS(diff_ids=(DiffID(UNKNOWN_DIGEST),)))
    layer = Descriptor(media_type=MediaType.OCI_LAYER_GZIP, digest=UNKNOWN_DIGEST, size=0)
    return ResolvedImage(name=name, digest=UNKNOWN_DIGEST, config=config, layers=(layer,), origin=FromStore())


class _Unknown:
    """A resolver whose images have nothing but a PATH."""

    def __init__(self, ignore: IgnoreRules | None) -> None:
        self._ignore = ignore

    def image(self, reference: Reference, platform: Platform) -> ResolvedImage:
        return unknown_image(str(reference), platform)

    def named_context(self, name: str, platform: Platform) -> NamedContext | None:
        return None

    def ignored(self, path: str) -> bool:
        return self._ignore is not None and self._ignore.hides(path)


def _lines_on_images(dockerfile: Dockerfile) -> list[range]:
    """The lines of stages that, in the end, stand on an image."""
    found: list[range] = []
    stands_on_image: dict[str, bool] = {}
    lines = [stage.statement.span.line for stage in dockerfile.stages]
    ends = [*lines[1:], dockerfile.source.text.count("\n") + 2]
    for stage, first, end in zip(dockerfile.stages, lines, ends, strict=True):
        image = stage.base.image
        on_image = stands_on_image.get(image, image != "scratch")
        if stage.base.name:
            stands_on_image[stage.base.name] = on_image
        if on_image:
            found.append(range(first, end))
    return found


def _needs_image(finding: Finding, unknown: list[range]) -> bool:
    if finding.rule is not rules.UNDEFINED_VAR or finding.span is None:
        return False
    line = finding.span.line
    return any(line in lines for lines in unknown)
