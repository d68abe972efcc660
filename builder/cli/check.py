"""`builder build --check` and `--call`: what the Dockerfile says, without building it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder.cli.build_options import NotSupportedYet
from builder.cli.commands import Invocation
from builder.cli.findings import check_json, check_report
from builder.cli.values import InvalidValue

if TYPE_CHECKING:
    from builder.api import BuildOptions


def call_dockerfile(invocation: Invocation, options: BuildOptions, call: str) -> int:
    """Shows the findings on standard output; 1 if there are any, as buildx has it. Raises DockerfileErrors."""
    method, *parameters = call.split(",")
    if method in ("outline", "targets"):
        raise NotSupportedYet("call", f" with `{method}`")
    if method not in ("check", "lint") or any(p not in ("format=json", "format=text") for p in parameters):
        raise InvalidValue(f"`{call}` is not a method for --call", hint="there are build and check[,format=json]")
    with invocation.open() as builder:
        findings = builder.check(options)
    if "format=json" in parameters:
        print(check_json(findings), end="")
    else:
        print(check_report(findings, _shown_name(options)), end="")
    return 1 if findings else 0


def _shown_name(options: BuildOptions) -> str:
    """The Dockerfile's path as the user would open it; "" to use its name alone."""
    if options.dockerfile or not os.path.isdir(options.context):
        return "" if options.dockerfile == "-" else options.dockerfile
    return os.path.normpath(os.path.join(options.context, "Dockerfile"))
