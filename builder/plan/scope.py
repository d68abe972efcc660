"""Variables while a stage is planned: what an instruction may use, and what its words become.

One list holds image ENV, ENV and ARG values, the last assignment of a name wins (BuildKit's state environment); the
image config keeps ENV alone. Reference: "Environment replacement" and "Scope" of the Dockerfile reference.
"""

from __future__ import annotations

from collections.abc import Mapping

from builder.errors import DockerfileError
from builder.language.instructions import Dockerfile, Statement
from builder.language.words import Words
from builder.lint import rules
from builder.lint.linter import Linter
from builder.oci import Platform

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROXY_ARGS = frozenset({"http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"})
NOT_IN_ENVIRONMENT = frozenset({"BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"})
"""Args that steer the build and never reach a process."""


MAX_TEXT = 64 << 20
"""Characters of all words of a file with their variables filled in."""


class TooMuchText(DockerfileError):
    code = "too-much-text"

    def __init__(self) -> None:
        super().__init__(f"the instructions come to more than {MAX_TEXT >> 20} Mi characters once their variables are "
                         "filled in", hint="variables that contain each other multiply")


class TextBudget:
    """What may still be filled in, over all stages of a file."""

    def __init__(self) -> None:
        self._left = MAX_TEXT

    def spend(self, characters: int) -> None:
        """Raises TooMuchText."""
        self._left -= characters
        if self._left < 0:
            raise TooMuchText


class Scope:
    """The variables of one stage at one point; copied where a stage continues another."""

    def __init__(self, dockerfile: Dockerfile, linter: Linter, budget: TextBudget) -> None:
        self.env: dict[str, str] = {}
        self.args: list[tuple[str, str | None]] = []
        """Declared ARGs of the stage and its parents, in order, for RUN's history."""
        self._dockerfile = dockerfile
        self._words = Words(dockerfile.escape, dockerfile.words)
        self._linter = linter
        self.budget = budget

    def copy(self) -> Scope:
        other = Scope(self._dockerfile, self._linter, self.budget)
        other.env, other.args = dict(self.env), list(self.args)
        return other

    def set(self, key: str, value: str) -> None:
        """Assigns; a name assigned again moves to the end, as in BuildKit's list."""
        self.env.pop(key, None)
        self.env[key] = value

    def expand(self, word: str, statement: Statement) -> str:
        """`word` with quotes removed and variables replaced. Raises DockerfileError."""
        expansion = self._words.expand(word, self.env)
        self.budget.spend(len(expansion.result))
        self._report(expansion.unmatched, statement)
        return expansion.result

    def expand_many(self, word: str) -> list[str]:
        """Like `expand`, split at blanks that come from variables (EXPOSE)."""
        words = self._words.expand_many(word, self.env)
        self.budget.spend(sum(map(len, words)))
        return words

    def expand_body(self, text: str, statement: Statement) -> str:
        """A here-document's body: variables only, quotes mean nothing."""
        expansion = Words("\\", self._dockerfile.words, skip_quotes=True).expand(text, self.env)
        self.budget.spend(len(expansion.result))
        self._report(expansion.unmatched, statement)
        return expansion.result

    def display(self, text: str, masked: tuple[str, ...] = ()) -> str:
        """`text` as progress shows it: known variables replaced, the rest as written."""
        escape, table = self._dockerfile.escape, self._dockerfile.words
        if "$" not in text and escape not in text:
            return text
        env: Mapping[str, str] = {**self.env, **dict.fromkeys(masked, "****")} if masked else self.env
        try:
            return Words(escape, table, raw_quotes=True, skip_unset=True).expand(text, env).result
        except DockerfileError:
            return text

    def _report(self, unmatched: tuple[str, ...] | frozenset[str], statement: Statement) -> None:
        if not unmatched:
            return
        declared = {key for key, _ in self.args}
        for name in unmatched:
            if name not in declared and name not in NOT_IN_ENVIRONMENT:
                from builder.golang.suggest import suggestion

                hint = suggestion(name, self.env, "$")
                self._linter.report(rules.UNDEFINED_VAR, statement.span, name, hint, comments=statement.comments)


def platform_args(build: Platform, target: Platform, stage: str, overrides: Mapping[str, str]) -> dict[str, str]:
    """The predefined global args; --build-arg may override each."""
    values = {
        "BUILDPLATFORM": str(build), "BUILDOS": build.os, "BUILDOSVERSION": build.os_version,
        "BUILDARCH": build.architecture, "BUILDVARIANT": build.variant,
        "TARGETPLATFORM": str(target), "TARGETOS": target.os, "TARGETOSVERSION": target.os_version,
        "TARGETARCH": target.architecture, "TARGETVARIANT": target.variant,
        "TARGETSTAGE": stage or "default",
    }
    return {key: overrides.get(key, value) for key, value in values.items()}
