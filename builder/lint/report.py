"""What checking one Dockerfile gives: the findings, and the mistake that ended it early if there was one."""

from __future__ import annotations

import msgspec

from builder.errors import BuilderError
from builder.lint.rules import Finding
from builder.source import Location, Source


class Report(msgspec.Struct, frozen=True, kw_only=True):
    source: Source
    findings: tuple[Finding, ...] = ()
    """In the order in which they were found, which is BuildKit's."""
    error: BuilderError | None = None
    unreached: BuilderError | None = None
    """Why an image is not known: what only that can tell was not checked."""

    @property
    def is_clean(self) -> bool:
        return not self.findings and self.error is None

    def by_line(self) -> list[Finding]:
        """The findings as people read them: from top to bottom, those without a place first."""
        return sorted(self.findings, key=lambda finding: finding.span.line if finding.span else 0)

    def location(self, finding: Finding) -> Location | None:
        return Location(self.source, finding.span) if finding.span else None
