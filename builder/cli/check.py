"""`builder build --check` and `--call`: what the Dockerfile says, without building it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import msgspec

from builder.attributes import fields_of
from builder.cli.command import Invocation
from builder.errors import BuilderError, UsageError
from builder.golang.bool import parse_bool

if TYPE_CHECKING:
    from builder.api import Builder, BuildOptions

_FORMATS = ("text", "json", "sarif")


class InvalidCall(UsageError):
    code = "invalid-call"


class UnsupportedRequest(BuilderError):
    code = "unsupported-request"

    def __init__(self, name: str) -> None:
        super().__init__(f"unsupported request frontend.{name}",
                         hint="choose one of build, check, outline, targets, subrequests.describe")


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What --call asks for."""

    name: str
    format: str = "text"
    ignore_status: bool = False

    @classmethod
    def parse(cls, text: str) -> Call:
        """`method[,format=text|json|sarif][,ignorestatus=bool]`. Raises InvalidCall."""
        name, form, ignore = "", "text", False
        for field in fields_of(text):
            key, equals, value = field.partition("=")
            if not equals:
                if name:
                    raise InvalidCall(f"invalid print value: {text}")
                name = field
            elif key == "format":
                form = value
            elif key == "ignorestatus":
                try:
                    ignore = parse_bool(value)
                except ValueError as error:
                    raise InvalidCall(f"invalid ignorestatus print value: {value}: {error}") from None
            else:
                raise InvalidCall(f"invalid print field: {field}")
        if form not in _FORMATS or (form == "sarif" and name not in {"check", "lint"}):
            form = "text"  # buildx takes whatever it does not know for text
        return cls(name=name.removeprefix("frontend."), format=form, ignore_status=ignore)


def call_dockerfile(invocation: Invocation, options: BuildOptions, text: str) -> int:
    """Shows the answer on standard output; the exit status is 1 where checks have something to say."""
    call = Call.parse(text)
    with invocation.open() as builder:
        if call.name in ("check", "lint"):
            return _check(builder, options, call)
        print(_answer(builder, options, call), end="")
    return 0


def _answer(builder: Builder, options: BuildOptions, call: Call) -> str:
    from builder.cli import surveys

    is_json = call.format == "json"
    match call.name:
        case "outline":
            outline = builder.outline(options)
            return surveys.outline_json(outline) if is_json else surveys.outline_text(outline)
        case "targets":
            targets = builder.targets(options)
            return surveys.targets_json(targets) if is_json else surveys.targets_text(targets)
        case "subrequests.describe":
            return surveys.describe_json() if is_json else surveys.describe_text()
    raise UnsupportedRequest(call.name)


def _check(builder: Builder, options: BuildOptions, call: Call) -> int:
    from builder.cli import reports

    report = builder.check(options)
    shown = _shown_name(options)
    if call.format == "json":
        print(reports.check_json(report), end="")
    elif call.format == "sarif":
        from builder.lint.sarif import sarif

        print(reports.json_text(sarif([(shown or report.source.name, report)])), end="")
    else:
        print(reports.check_text(report, shown), end="")
        if report.error is not None and report.findings:
            print()
    if report.unreached is not None:
        from builder.cli.diagnostics import solver_sentence

        sys.stdout.flush()
        why = solver_sentence(report.unreached)
        print(f"note: what only its image can tell is not checked: {why}", file=sys.stderr)
    if report.error is not None:
        sys.stdout.flush()
        sys.stderr.write(reports.check_error(report.error, shown))
    return 0 if report.is_clean or call.ignore_status else 1


def _shown_name(options: BuildOptions) -> str:
    """The Dockerfile's path as the user would open it; "" to use its name alone."""
    if options.dockerfile or not os.path.isdir(options.context):
        return "" if options.dockerfile == "-" else options.dockerfile
    return os.path.normpath(os.path.join(options.context, "Dockerfile"))
