"""`builder bake`: resolves a definition file and builds its targets as one run, or shows what it resolves to."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import msgspec

from builder.cli.command import Command, Invocation
from builder.cli.commands.build import progress_mode, write_findings, write_metadata
from builder.cli.pflag import Flag, Kind, Values, parse
from builder.cli.value_types import BAKE_TARGET, COUNT, FILE, PROGRESS, choice
from builder.errors import BuilderError, UsageError
from builder.solver.events import AnyEvent, WarningRaised
from builder.ui.progress import open_progress

if TYPE_CHECKING:
    from builder.api import BuildOptions
    from builder.bake.inheritance import Selection
    from builder.bake.remotefiles import Place
    from builder.bake.target import Target
    from builder.source import Source

FLAGS = (
    Flag("allow", "Allow the build to access specified resources", Kind.LIST, metavar="stringArray"),
    Flag("builder", 'Accepted for docker\'s scripts: there is only the builder "default"', type=choice("default")),
    Flag("call", 'What to do with the Dockerfiles: "build", "check", "outline" or "targets"',
         type=choice("build", "check", "outline", "targets")),
    Flag("check", 'Shorthand for "--call=check"', Kind.BOOL),
    Flag("file", "Build definition file", Kind.LIST, "f", metavar="stringArray", type=FILE),
    Flag("jobs", "How many steps run at the same time", metavar="int", type=COUNT),
    Flag("list", "List targets or variables", type=choice("targets", "variables")),
    Flag("load", 'Shorthand for "--set=*.output=type=docker"', Kind.BOOL),
    Flag("metadata-file", "Write build result metadata to a file", type=FILE),
    Flag("no-cache", "Run every step", Kind.BOOL),
    Flag("print", "Print the options without building", Kind.BOOL),
    Flag("progress", 'Type of progress output ("auto", "none", "plain", "quiet", "rawjson", "tty")', type=PROGRESS),
    Flag("provenance", 'Shorthand for "--set=*.attest=type=provenance"'),
    Flag("pull", "Always look for newer images", Kind.BOOL),
    Flag("push", 'Shorthand for "--set=*.output=type=registry"', Kind.BOOL),
    Flag("sbom", 'Shorthand for "--set=*.attest=type=sbom"'),
    Flag("set", 'Override a target\'s value ("targetpattern.key=value")', Kind.LIST, metavar="stringArray"),
    Flag("var", 'Set a variable ("name=value")', Kind.LIST, metavar="stringArray"),
    Flag("list-targets", "", Kind.BOOL, hidden=True),
    Flag("list-variables", "", Kind.BOOL, hidden=True),
)
_CALLS = {"check": "lint"}
"""What buildx calls a request inside."""


def run(invocation: Invocation) -> int:
    from builder.bake.bakefiles import parse_files
    from builder.bake.inheritance import select
    from builder.bake.remotefiles import split_arguments

    flags = invocation.flags
    mode = progress_mode(flags)
    listed = flags.text("list") or ("targets" if flags.on("list-targets") else "")
    listed = listed or ("variables" if flags.on("list-variables") else "")
    if flags.on("print") and listed:
        raise UsageError("--print and --list are mutually exclusive")
    place, names = split_arguments(invocation.arguments)
    config = parse_files(_read_files(invocation, place), _variables(flags), os.environ,
                         command_context=place.command_context)
    for note in config.notes:
        print(f"warning: {note}", file=sys.stderr)
    if listed:
        from builder.bake.listing import list_definition

        print(list_definition(config, listed), end="")
        return 0
    selection = select(config, names or ("default",), _overrides(flags), os.environ, place)
    if flags.on("print"):
        print(selection.printed())
        return 0
    _check_entitlements(flags, selection)
    options = {name: _options(flags, target) for name, target in selection.targets.items()}
    called = {name: target.call for name, target in selection.targets.items() if target.call not in (None, "", "build")}
    if called:
        return _call(invocation, selection, options)
    return _build(invocation, options, mode)


# -- what was asked for ------------------------------------------------------------------------------------------------


def _read_files(invocation: Invocation, place: Place) -> tuple[Source, ...]:
    from builder.bake.bakefiles import read_files

    names = invocation.flags.all("file") or _files_of_environment()
    if not place.url:
        return read_files(names)
    from builder.rooted.removing import temporary_folder

    with temporary_folder("builder-bake-") as folder, invocation.open() as builder:
        only = builder.fetch_context(place.url, folder)
        return read_files(names or ((only,) if only else ()), folder=folder)


def _files_of_environment() -> tuple[str, ...]:
    separator = os.environ.get("BUILDX_BAKE_PATH_SEPARATOR") or os.pathsep
    return tuple(path.strip() for path in os.environ.get("BUILDX_BAKE_FILE", "").split(separator) if path.strip())


def _variables(flags: Values) -> dict[str, str]:
    found = {}
    for text in flags.all("var"):
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"invalid variable `{text}`, expected key=value")
        found[name] = value
    return found


def _overrides(flags: Values) -> list[str]:
    """`--set`, then the shorthands, in buildx' order."""
    from builder.bake.compose import canonical_attestation

    found = list(flags.all("set"))
    found += [f"*.{name}=true" for name in ("push", "load") if flags.on(name)]
    call = "check" if flags.on("check") else flags.text("call").partition(",")[0]
    if call not in ("", "build"):
        found.append(f"*.call={_CALLS.get(call, call)}")
    found += [f"*.{name}={'true' if flags.on(name) else 'false'}" for name in ("no-cache", "pull") if flags.given(name)]
    for name in ("sbom", "provenance"):
        if text := flags.text(name):
            found.append(f"*.attest={canonical_attestation(name, text)}")
    return found


def _check_entitlements(flags: Values, selection: Selection) -> None:
    """Raises PrivilegesRequested, unless the person at the terminal agrees."""
    from builder.bake import entitlements

    targets = selection.targets.values()
    grants = entitlements.with_overrides(entitlements.parse_allow(flags.all("allow")), selection.overrides, targets)
    requests = entitlements.missing(targets, grants)
    if os.environ.get("BUILDX_BAKE_ENTITLEMENTS_FS", "").lower() in ("0", "f", "false"):
        requests = [request for request in requests if not request.is_file]
    if not requests:
        return
    if sys.stdin.isatty() and sys.stderr.isatty():
        sys.stderr.write("Your build is requesting privileges for following possibly insecure capabilities:\n\n")
        sys.stderr.write("".join(f" - {request.what}\n" for request in requests))
        sys.stderr.write("\nDo you want to grant requested privileges and continue? [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() == "y":
            return
    raise entitlements.PrivilegesRequested(requests)


def _options(flags: Values, target: Target) -> BuildOptions:
    """The target as `builder build` would have it. Raises UsageError."""
    from builder.bake.buildflags import flags_of
    from builder.cli.build_flags import FLAGS as BUILD_FLAGS
    from builder.cli.build_options import build_options

    words = [f"--{name}={value}" for name, value in flags_of(target)]
    if flags.given("jobs"):
        words.append(f"--jobs={flags.text('jobs')}")
    try:
        values, _ = parse(BUILD_FLAGS, words)
        options = build_options(values, target.context or ".")
    except BuilderError as error:
        error.notes = (*error.notes, f"in target `{target.name}`")
        raise
    if target.dockerfile_inline is None:
        return options
    import io

    return msgspec.structs.replace(options, dockerfile="-", stdin=io.BytesIO(target.dockerfile_inline.encode()))


# -- doing it ----------------------------------------------------------------------------------------------------------


def _build(invocation: Invocation, options: dict[str, BuildOptions], mode: str) -> int:
    findings: list[WarningRaised] = []
    builder = invocation.open()
    progress = open_progress(mode, runtime=builder.runtime)

    def on_event(event: AnyEvent) -> None:
        if isinstance(event, WarningRaised):
            findings.append(event)
        progress.handle(event)

    failure: Exception | None = None
    try:
        with builder:
            results = builder.build_all(options, on_event)
    except Exception as error:
        failure = error
    finally:
        progress.close()
    if progress.kind in ("plain", "tty") and findings:
        write_findings(findings, invocation.debug)
    if failure is not None:
        from builder.cli.diagnostics import report_build

        return report_build(failure, debug=invocation.debug, progress=progress.kind)
    if path := invocation.flags.text("metadata-file"):
        write_metadata(path, {name: results[name].metadata for name in sorted(results)}, findings)
    return 0


def _call(invocation: Invocation, selection: Selection, options: dict[str, BuildOptions]) -> int:
    """Answers what the targets' `call` asks, target by target; the exit status is the first that is not 0."""
    from builder.cli.check import Call, call_dockerfile

    asked = invocation.flags.text("call")
    form = "json" if Call.parse(asked).format == "json" else "text"
    details = "".join(f",{field}" for field in asked.split(",")[1:])
    status = 0
    answers: dict[str, dict[str, object]] = {}
    for position, name in enumerate(sorted(options)):
        target = selection.targets[name]
        wanted = (target.call or "check") + details
        if form == "json":
            code, answer = _captured(invocation, options[name], wanted)
            kind = {"lint": "check"}.get(target.call or "check", target.call or "check")
            answers[name] = {"build": target.printed(), kind: answer}
        else:
            print(("\n" if position else "") + "\n".join(part for part in (name, target.description) if part) + "\n")
            code = call_dockerfile(invocation, options[name], wanted)
        status = status or code
    if form == "json":
        import json

        print(json.dumps({"group": {name: group.printed() for name, group in sorted(selection.groups.items())},
                          "target": answers}, indent=2))
    return status


def _captured(invocation: Invocation, options: BuildOptions, wanted: str) -> tuple[int, object]:
    import contextlib
    import io
    import json

    from builder.cli.check import call_dockerfile

    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        code = call_dockerfile(invocation, options, wanted)
    return code, json.loads(output.getvalue() or "null")


COMMAND = Command("bake", "[OPTIONS] [URL] [TARGET...]", run, flags=FLAGS, arguments=(0, None), takes=BAKE_TARGET)
