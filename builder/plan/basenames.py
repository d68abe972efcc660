"""What FROM instructions name: bases and platforms, with variables from the ARGs before the first FROM."""

from __future__ import annotations

from builder.errors import BuilderError, DockerfileError
from builder.language.instructions import Arg, Dockerfile, Stage, Statement
from builder.language.words import Words
from builder.lint import rules
from builder.lint.linter import Linter
from builder.oci import Platform
from builder.plan.errors import PlanError
from builder.plan.planoptions import PlanOptions
from builder.plan.scope import TextBudget, platform_args
from builder.platforms import parse_platform
from builder.reference import Reference
from builder.source import Location, Span


class BaseNames:
    """Of one file. Raises DockerfileError for an ARG that cannot be expanded."""

    def __init__(self, dockerfile: Dockerfile, options: PlanOptions, words: Words, linter: Linter,
                 budget: TextBudget) -> None:
        self._dockerfile = dockerfile
        self._words = words
        self._linter = linter
        self._budget = budget
        target = options.target or dockerfile.stages[-1].base.name
        given = platform_args(options.build_platform, options.platform, target, options.build_args)
        self._check_default_bases(given)
        self.global_args = self._with_global_args(given, options.build_args)
        """Values of the ARGs before the first FROM, and of the predefined ones."""
        self._declared = dict.fromkeys(self.global_args) | {
            pair.key: None for s in dockerfile.global_args if isinstance(s.instruction, Arg)
            for pair in s.instruction.pairs}

    def expand(self, word: str, statement: Statement) -> str:
        """A word of a FROM with its variables. Raises DockerfileError."""
        try:
            expansion = self._words.expand(word, self.global_args)
        except DockerfileError as error:
            raise error.at(self._locate(statement.span)) from None
        for name in expansion.unmatched:
            if name not in self._declared:
                from builder.golang.suggest import suggestion

                self._linter.report(rules.UNDEFINED_ARG_IN_FROM, statement.span, name,
                                    suggestion(name, self._declared), comments=statement.comments)
        return expansion.result

    def platform(self, stage: Stage) -> Platform:
        """What --platform of the stage's FROM says, which must have one. Raises PlanError, DockerfileError."""
        statement, written = stage.statement, stage.base.platform
        location = self._locate(statement.span)
        text = self.expand(written, statement)
        expansion = self._words.expand(written, self.global_args)
        if not text:
            from builder.golang.suggest import suggestion

            hint = "".join(suggestion(name, self.global_args) for name in expansion.unmatched)
            raise PlanError(f"empty platform value from expression {written}{hint}", location=location)
        if set(expansion.matched) == {"TARGETPLATFORM"} and not expansion.unmatched \
                and text == self.global_args["TARGETPLATFORM"]:
            self._linter.report(rules.REDUNDANT_TARGET_PLATFORM, statement.span, written, comments=statement.comments)
        try:
            platform = parse_platform(text)
        except BuilderError as error:
            raise PlanError(f"failed to parse platform {written}: {error.message}", location=location,
                            hint=error.hint) from None
        if not expansion.matched and not expansion.unmatched \
                and platform.os not in stage.base.name and platform.architecture not in stage.base.name:
            self._linter.report(rules.FROM_PLATFORM_FLAG_CONST_DISALLOWED, statement.span, text,
                                comments=statement.comments)
        return platform

    def _with_global_args(self, env: dict[str, str], given: dict[str, str]) -> dict[str, str]:
        env = dict(env)
        for statement in self._dockerfile.global_args:
            assert isinstance(statement.instruction, Arg)
            for pair in statement.instruction.pairs:
                if pair.key in given:
                    env[pair.key] = given[pair.key]
                elif pair.default is not None:
                    try:
                        env[pair.key] = self._words.expand(pair.default, env).result
                        self._budget.spend(len(env[pair.key]))
                    except DockerfileError as error:
                        raise error.at(self._locate(statement.span)) from None
        return env

    def _check_default_bases(self, env: dict[str, str]) -> None:
        """Rule InvalidDefaultArgInFrom: would the bases be names without any --build-arg?"""
        try:
            defaults = self._with_global_args(env, {})
            for stage in self._dockerfile.stages:
                name = self._words.expand(stage.base.image, defaults).result
                try:
                    Reference.parse(name)
                except BuilderError:
                    self._linter.report(rules.INVALID_DEFAULT_ARG_IN_FROM, stage.statement.span, stage.base.image)
        except DockerfileError:
            return  # the real expansion will say it

    def _locate(self, span: Span) -> Location:
        return Location(self._dockerfile.source, span)
