"""The checks that need only the text: casing, names, deprecated forms. Others are made while planning.

Findings come in BuildKit's order. A `check=` comment above an instruction counts, as there, for the checks of that
instruction alone, not for those that compare it with the rest of the file (stage names, casing of keywords).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from builder.language.instructions import Arg, Dockerfile, Maintainer, Statement
from builder.lint import rules
from builder.lint.linter import Linter
from builder.source import Span


def check_text(dockerfile: Dockerfile, linter: Linter) -> None:
    """Reports what the text alone shows."""
    for empty in dockerfile.empty_continuations:
        linter.report(rules.NO_EMPTY_CONTINUATION, Span.at_line(empty.span.end_line))
    for statement in dockerfile.global_args:
        _check_descriptions(statement, linter)
    for stage in dockerfile.stages:
        _check_from(stage.statement, stage.base.name, linter)
        for statement in stage.body:
            if isinstance(statement.instruction, Maintainer):
                linter.report(rules.MAINTAINER_DEPRECATED, statement.span, comments=statement.comments)
            _check_descriptions(statement, linter)
    _check_stage_names(dockerfile, linter)
    _check_casing(dockerfile, linter)


def _check_from(statement: Statement, name: str, linter: Linter) -> None:
    written = re.search(r"\s(\S+)\s+(\S+)\s*$", statement.text) if name else None
    if not written:
        return
    keyword, as_, spelled = statement.keyword, written[1], written[2]
    if spelled != spelled.lower():
        linter.report(rules.STAGE_NAME_CASING, statement.span, spelled, comments=statement.comments)
    if (keyword.islower() and not as_.islower()) or (keyword.isupper() and not as_.isupper()):
        linter.report(rules.FROM_AS_CASING, statement.span, keyword, as_, comments=statement.comments)
    _check_description(statement, "FROM", [name], linter)


def _check_descriptions(statement: Statement, linter: Linter) -> None:
    if isinstance(statement.instruction, Arg):
        _check_description(statement, "ARG", [pair.key for pair in statement.instruction.pairs], linter)


def _check_description(statement: Statement, keyword: str, names: list[str], linter: Linter) -> None:
    if statement.comments and statement.comments[-1].split(" ")[0] not in names:
        example = names[0] if len(names) == 1 else "<arg_key>"
        linter.report(rules.INVALID_DEFINITION_DESCRIPTION, statement.span, keyword, example,
                      comments=statement.comments)


def _check_stage_names(dockerfile: Dockerfile, linter: Linter) -> None:
    seen: set[str] = set()
    for stage in dockerfile.stages:
        name = stage.base.name
        if not name:
            continue
        statement = stage.statement
        if name in {"context", "scratch"}:
            linter.report(rules.RESERVED_STAGE_NAME, statement.span, name)
        if name in seen:
            linter.report(rules.DUPLICATE_STAGE_NAME, statement.span, name)
        seen.add(name)


def majority_case(dockerfile: Dockerfile) -> Callable[[str], str]:
    """str.lower or str.upper, as most keywords are written."""
    keywords = [s.keyword for stage in dockerfile.stages for s in (stage.statement, *stage.body)]
    return str.lower if sum(map(str.islower, keywords)) > sum(map(str.isupper, keywords)) else str.upper


def _check_casing(dockerfile: Dockerfile, linter: Linter) -> None:
    wanted = majority_case(dockerfile)
    case = "lowercase" if wanted is str.lower else "uppercase"
    for stage in dockerfile.stages:
        for s in (stage.statement, *stage.body):
            if s.keyword != wanted(s.keyword):
                linter.report(rules.CONSISTENT_INSTRUCTION_CASING, s.span, s.keyword, case)
