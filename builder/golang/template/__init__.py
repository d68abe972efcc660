"""Go's text/template, as far as `--format` needs it, over values as JSON has them.

Fields, variables, pipelines, if/else, range, with, break and continue, comparisons, and docker's functions. Errors
read as Go's do: `template: :1:2: executing "" at <.Nope>: map has no entry for key "Nope"`.
"""

from __future__ import annotations

from typing import Any

from builder.golang.template.errors import TemplateError as TemplateError
from builder.golang.template.functions import StringMap as StringMap


def render(template: str, value: Any) -> str:
    """`template` with `value` as its dot. Raises TemplateError."""
    from builder.golang.template.evaluate import Execution
    from builder.golang.template.parse import parse

    return Execution(value).run(parse(template))


__all__ = ["StringMap", "TemplateError", "render"]
