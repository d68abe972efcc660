"""`builder lint`: checks Dockerfiles by their text alone, and applies fixes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import msgspec

from builder.cli.command import Command, Invocation
from builder.cli.dockerfiles import STDIN, NothingNamed, diff, find_dockerfiles, read_dockerfile, write_dockerfile
from builder.cli.pflag import Flag, Kind
from builder.cli.value_types import FILE, LINT_RULE, choice
from builder.errors import BuilderError, InvalidValue

if TYPE_CHECKING:
    from builder.lint.report import Report
    from builder.source import Source

_FORMATS = ("text", "json", "sarif")
_MOST_ROUNDS = 20
"""A fix may make room for another; far fewer rounds than this are needed."""


def run(invocation: Invocation) -> int:
    """0 without findings, else 1."""
    flags = invocation.flags
    form = flags.text("format", "text")
    if form not in _FORMATS:
        raise InvalidValue(f"`{form}` is no format of lint", hint=f"choose one of {', '.join(_FORMATS)}")
    chosen = _Rules(flags.all("rule"), extra=flags.on("extra"))
    if flags.on("list"):
        print(chosen.listing(), end="")
        return 0
    reports: list[tuple[str, Report]] = []
    status = 0
    fixes = flags.on("fix") or flags.on("unsafe-fix")
    if fixes and not invocation.arguments:
        raise NothingNamed("lint --fix")
    for path in find_dockerfiles(invocation.arguments):
        try:
            source = read_dockerfile(path)
            if fixes:
                source = _fix(path, source, chosen, unsafe=flags.on("unsafe-fix"), quiet=form != "text")
            reports.append((path, chosen.check(path, source)))
        except BuilderError as error:
            from builder.cli.diagnostics import report

            status = max(status, report(error, debug=invocation.debug))
    _show(reports, form, chosen)
    return max(status, int(any(not report.is_clean for _, report in reports)))


class _Rules:
    """The rules that were asked for."""

    def __init__(self, names: tuple[str, ...], *, extra: bool) -> None:
        """Raises InvalidValue for a name that no rule has."""
        from builder.golang.suggest import did_you_mean
        from builder.lint.practices import PRACTICES
        from builder.lint.rules import RULES

        self.known = {**RULES, **PRACTICES}
        for name in names:
            if name not in self.known:
                raise InvalidValue(f"there is no rule `{name}`", hint=did_you_mean(name, self.known, as_known=True)
                                   or "`builder lint --list` lists them")
        everything = {**RULES, **PRACTICES} if extra else RULES
        self.wanted = frozenset(names or everything)
        self.practices = self.wanted & frozenset(PRACTICES)

    def check(self, path: str, source: Source) -> Report:
        from builder.context.local import find_ignore_file
        from builder.language.ignore import IgnoreRules
        from builder.plan.offline import check_offline

        found = find_ignore_file(os.path.dirname(path) or ".", path) if path != STDIN else None
        report = check_offline(
            source, practices=self.practices, ignore=IgnoreRules.parse(found[1]) if found else None,
            has_ignore_file=None if path == STDIN else found is not None)
        return msgspec.structs.replace(
            report, findings=tuple(finding for finding in report.findings if finding.rule.name in self.wanted))

    def listing(self) -> str:
        from builder.cli.table import align

        return align([["RULE", "CHECKS"], *([rule.name, rule.description] for rule in self.known.values()
                                            if rule.name in self.wanted)])


def _fix(path: str, source: Source, chosen: _Rules, *, unsafe: bool, quiet: bool) -> Source:
    """Fixes the file until no fix applies; prints what changed. A file that does not parse stays unchanged."""
    from builder.language.parser import parse
    from builder.lint.fixes import fixed
    from builder.source import Source

    now = source
    for _ in range(_MOST_ROUNDS):
        report = chosen.check(path, now)
        if report.error is not None:
            break
        text = fixed(parse(now), report.findings, unsafe=unsafe)
        if text == now.text:
            break
        now = Source(now.name, text)
    if now.text == source.text:
        return source
    changes = diff(source.name, source.text, now.text)
    if path == STDIN:
        print(now.text, end="")
        return now
    write_dockerfile(path, now.text)
    if not quiet:
        print(changes, end="")
    print(f"fixed {path}", file=sys.stderr)
    return now


def _show(reports: list[tuple[str, Report]], form: str, chosen: _Rules) -> None:
    from builder.cli import reports as shown

    if form == "json":
        print(shown.json_text([{"path": path, **shown.check_document(report)} for path, report in reports]), end="")
        return
    if form == "sarif":
        from builder.lint.sarif import sarif

        extra = [chosen.known[name] for name in sorted(chosen.practices)]
        print(shown.json_text(sarif(reports, extra)), end="")
        return
    count = 0
    for _, report in reports:
        for finding in report.by_line():
            count += 1
            print("\n".join(shown.finding_lines(report, finding)), end="\n\n")
        if report.error is not None:
            from builder.cli.diagnostics import render

            sys.stdout.flush()
            print("\n".join(render(report.error)), file=sys.stderr)
    warnings = "1 warning" if count == 1 else f"{count} warnings"
    if count or any(report.error for _, report in reports):
        print(f"{warnings} found")
    elif reports:
        print("No warnings found")


COMMAND = Command(
    "lint", "[OPTIONS] [PATH...]", run, arguments=(0, None), takes=FILE,
    flags=(
        Flag("extra", "Also apply checks that hadolint is known for: versions, caches, pipes, ...", Kind.BOOL),
        Flag("fix", "Apply fixes that do not change the image", Kind.BOOL),
        Flag("format", 'How to print: "text", "json" or "sarif"', type=choice("text", "json", "sarif")),
        Flag("list", "List the rules and check nothing", Kind.BOOL),
        Flag("rule", "Check this rule only", Kind.LIST, metavar="name", type=LINT_RULE),
        Flag("unsafe-fix", "Also apply fixes that change the image config (exec forms, MAINTAINER)", Kind.BOOL)),
    notes="A path may be a directory, for all Dockerfiles in it that git does not ignore, or `-`. No image and no\n"
          "registry is asked: `builder build --check` also knows the base images.")
