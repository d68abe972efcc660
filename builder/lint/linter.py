"""Collects findings under a configuration: `# check=skip=A,B;experimental=C;error=true`."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from builder.errors import DockerfileError
from builder.golang.bool import parse_bool
from builder.golang.quote import quote
from builder.lint.rules import Finding, Rule
from builder.source import Span

_CHECK = r"(?i)check[\t\n\f\r ]*=[\t\n\f\r ]*(.+?)[\t\n\f\r ]*\Z"
_HADOLINT = r"(?i)hadolint\s+(?:global\s+)?ignore\s*=\s*([\w, ]+)"


class LintConfig(msgspec.Struct, frozen=True, kw_only=True):
    skip: frozenset[str] = frozenset()
    skip_all: bool = False
    experimental: frozenset[str] = frozenset()
    experimental_all: bool = False
    error: bool = False
    """A finding fails the build."""

    @classmethod
    def parse(cls, text: str, origin: str = "check options") -> LintConfig:
        """The value of a check directive, or of a build arg: errors name `origin`. Raises InvalidCheckOption."""
        config = cls()
        if not text.strip():
            return config
        for option in text.strip().split(";", 2):
            key, equals, value = option.partition("=")
            names = frozenset(name.strip() for name in value.strip().split(","))
            is_all = value.strip() == "all"
            match key.strip() if equals else "":
                case "skip":
                    config = msgspec.structs.replace(
                        config, skip_all=config.skip_all or is_all, skip=frozenset() if is_all else names)
                case "experimental":
                    config = msgspec.structs.replace(
                        config, experimental_all=config.experimental_all or is_all,
                        experimental=frozenset() if is_all else names)
                case "error":
                    config = msgspec.structs.replace(config, error=_error_option(value.strip(), option, origin))
                case _:
                    name = key.strip() if equals else option
                    raise InvalidCheckOption(f"invalid check option {quote(name)}", origin)
        return config

    def merged(self, other: LintConfig) -> LintConfig:
        """This configuration with what a comment above one instruction adds."""
        return msgspec.structs.replace(
            self, skip=self.skip | other.skip, skip_all=self.skip_all or other.skip_all,
            experimental=self.experimental | other.experimental,
            experimental_all=self.experimental_all or other.experimental_all)

    def allows(self, rule: Rule) -> bool:
        if rule.experimental:
            return self.experimental_all or rule.name in self.experimental
        return not self.skip_all and rule.name not in self.skip


class InvalidCheckOption(DockerfileError):
    code = "invalid-check-option"

    def __init__(self, reason: str, origin: str) -> None:
        super().__init__(f"failed to parse {origin}: {reason}", hint="write `# check=skip=Rule1,Rule2;error=true`")


class LintViolation(DockerfileError):
    code = "lint-violation"

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__(f"lint violation found for rules: {', '.join(names)}",
                         hint="`# check=error=true` makes findings errors")


class Linter:
    """Receives findings in the order in which they are found; one per build and platform."""

    def __init__(self, config: LintConfig) -> None:
        self.config = config
        self.findings: list[Finding] = []

    def report(self, rule: Rule, span: Span | None, *facts: str, comments: tuple[str, ...] = ()) -> None:
        """Adds a finding unless the configuration, or a `check=` comment above the instruction, leaves it out."""
        config = self.config
        if (option := _option_in(comments)) is not None:
            try:
                config = config.merged(LintConfig.parse(option))
            except InvalidCheckOption:
                pass
        if config.allows(rule) and not (rule.hadolint and _is_ignored_by_hadolint(rule.hadolint, comments)):
            self.findings.append(Finding(rule=rule, message=rule.message(*facts), span=span))

    def raise_if_failed(self) -> None:
        """Raises LintViolation when findings are errors and there are any."""
        if self.config.error and self.findings:
            raise LintViolation(dict.fromkeys(f.rule.name for f in self.findings))


def _option_in(comments: tuple[str, ...]) -> str | None:
    """The options of the first comment that has the form of a check directive; words behind them are an explanation."""
    for comment in comments:
        if match := re.match(_CHECK, comment):
            return match[1].split(" ", 1)[0]
    return None


def _is_ignored_by_hadolint(code: str, comments: tuple[str, ...]) -> bool:
    """A comment `hadolint ignore=DL3006,DL3008` above the instruction."""
    return any(code in match[1].replace(" ", "").split(",") for comment in comments
               if (match := re.match(_HADOLINT, comment)))


def _error_option(value: str, option: str, origin: str) -> bool:
    try:
        return parse_bool(value)
    except ValueError as error:
        raise InvalidCheckOption(f"failed to parse check option {quote(option)}: {error}", origin) from None
