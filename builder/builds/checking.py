"""Says what is to be known about a Dockerfile before a build of it, without running a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from builder.builds.options import BuildOptions
from builder.builds.request import plan_options, source_date_epoch
from builder.errors import BuilderError, DockerfileErrors
from builder.language.instructions import Dockerfile
from builder.lint.linter import InvalidCheckOption, LintConfig, Linter
from builder.lint.report import Report
from builder.plan.planner import plan
from builder.plan.planoptions import MetaResolver
from builder.source import Source

if TYPE_CHECKING:
    from builder.plan.outline import Outline


def lint_config(dockerfile: Dockerfile, options: BuildOptions) -> LintConfig:
    """BUILDKIT_DOCKERFILE_CHECK, else the file's own check directive. Raises InvalidCheckOption."""
    given = options.build_args.get("BUILDKIT_DOCKERFILE_CHECK")
    if given is not None:
        return LintConfig.parse(given, "build-arg:BUILDKIT_DOCKERFILE_CHECK")
    return LintConfig.parse(dockerfile.directive("check") or "")


def check(dockerfile: Dockerfile, options: BuildOptions, resolver: MetaResolver,
          unreached: Sequence[BuilderError] = ()) -> Report:
    """The findings for the target, or without one for all stages.

    `resolver` adds to `unreached` the errors of images that it does not know: what needs none is still checked.

    As in BuildKit the wanted platforms play no part. Whatever ends planning early is the report's `error`. Raises
    InvalidCheckOption for the build arg.
    """
    source = dockerfile.source
    try:
        linter = Linter(lint_config(dockerfile, options))
    except InvalidCheckOption as error:
        if "BUILDKIT_DOCKERFILE_CHECK" in options.build_args:
            raise
        return Report(source=source, error=error)
    failure: BuilderError | None = None
    try:
        wanted = plan_options(options, None, all_stages=not options.target)
        plan(dockerfile, wanted, resolver, linter, epoch=source_date_epoch(options))
    except BuilderError as error:
        failure = error
    findings = tuple(linter.findings)
    if unreached:
        from builder.plan.offline import known_offline

        findings = known_offline(dockerfile, findings)
    return Report(source=source, findings=findings, error=failure, unreached=unreached[0] if unreached else None)


def survey(dockerfile: Dockerfile, options: BuildOptions, resolver: MetaResolver) -> Outline:
    """What can be given to a build of the wanted target. Raises BuilderError."""
    from builder.plan.outline import outline

    linter = Linter(lint_config(dockerfile, options))
    return outline(dockerfile, plan_options(options, None), resolver, linter, epoch=source_date_epoch(options))


def unparsed(error: DockerfileErrors) -> Report:
    """The report for a file that has mistakes in its syntax."""
    source = error.location.source if error.location else Source("Dockerfile", "")
    return Report(source=source, error=error)
