from __future__ import annotations


class TemplateError(Exception):
    """A template that does not parse, or does not fit its value; says what Go would behind `template: `."""
