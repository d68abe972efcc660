from __future__ import annotations

from builder.errors import UsageError


class TemplateError(UsageError):
    """A template that does not parse, or does not fit its value."""

    code = "template"

    def __init__(self, why: str) -> None:
        super().__init__(f"template parsing error: template: {why}")
