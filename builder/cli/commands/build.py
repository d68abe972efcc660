"""`builder build`: runs one build, shows its progress and writes what was asked for beside the image."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from builder.cli.build_flags import FLAGS
from builder.cli.command import Command, Invocation
from builder.cli.kaniko_flags import digest_files, id_files
from builder.cli.pflag import Values, WrongArguments
from builder.cli.registry_flags import registry_settings
from builder.cli.value_types import DIRECTORY, PRINTED, PROGRESS
from builder.errors import BuilderError, InvalidValue, UsageError
from builder.solver.events import AnyEvent, BuildStarted, WarningRaised
from builder.ui.progress import open_progress

if TYPE_CHECKING:
    from builder.api import BuildOptions, BuildResult
    from builder.cli.debugger import DebugPlan


class CannotWrite(BuilderError):
    """The image is there, but not the file that was to tell about it."""

    code = "cannot-write"

    def __init__(self, path: str, error: OSError) -> None:
        super().__init__(f"cannot write `{path}`", cause=(error.strerror or str(error)).lower())


def run(invocation: Invocation) -> int:
    flags = invocation.flags
    call = "check" if flags.on("check") else flags.text("call", "build")
    mode = _progress_mode(flags)

    from builder.cli.build_options import build_options

    options = build_options(flags, _context(invocation))
    _remove_old_ids(flags)
    if flags.given("print"):
        return _print(invocation, options)
    if flags.given("dry-run"):
        from builder.cli.forecasting import dry_run

        return dry_run(invocation, options)
    if call not in ("", "build"):
        from builder.cli.check import call_dockerfile

        return call_dockerfile(invocation, options, call)
    return _build(invocation, options, mode)


def _context(invocation: Invocation) -> str:
    """The argument; kaniko's --context takes its place."""
    given = invocation.arguments
    if len(given) + invocation.flags.given("context") != 1:
        raise WrongArguments("'builder build' requires 1 argument")
    return given[0] if given else ""


def _remove_old_ids(flags: Values) -> None:
    """An id of an earlier build must not stand for one that fails. Raises CannotWrite.

    A --metadata-file stays until there is a new one, as with docker.
    """
    for path in (flags.text("iidfile"), flags.text("iidfile-raw"), *id_files(flags)):
        try:
            if path:
                from builder.rooted.named import remove_file

                remove_file(path)
        except OSError as error:
            if error.errno != errno.EBUSY:  # mounted there for us to write, such as /dev/termination-log
                raise CannotWrite(path, error) from error


def _build(invocation: Invocation, options: BuildOptions, mode: str) -> int:
    plan = _debug_plan(invocation)
    findings: list[WarningRaised] = []
    build = ""
    builder = invocation.open(registry_settings(invocation.flags))
    progress = open_progress(mode, runtime=builder.runtime)
    debugger = None
    if plan is not None:
        from builder.cli.debugger import Debugger

        debugger = Debugger(plan, progress)

    def on_event(event: AnyEvent) -> None:
        nonlocal build
        if isinstance(event, WarningRaised):
            findings.append(event)
        elif isinstance(event, BuildStarted):
            build = event.build
        progress.handle(event)

    failure: Exception | None = None
    try:
        with builder:
            result = builder.build(options, on_event, debugger)
    except Exception as error:
        failure = error
    finally:
        progress.close()
    if progress.kind in ("plain", "tty") and findings:
        write_findings(findings, invocation.debug)
    if invocation.flags.on("profile") and build:
        _write_profile(invocation, build)
    if failure is not None:
        from builder.cli.diagnostics import report_build

        return report_build(failure, debug=invocation.debug, progress=progress.kind)
    _write_results(invocation, result, findings)
    if mode == "quiet":
        _print_id(result.image_id or result.digest)
    return 0


def _print_id(text: str) -> None:
    """On standard output; where it cannot be written, the image is still there, so the build has not failed."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        from builder.cli.streams import discard_output

        discard_output()
        print(f"warning: the image is {text}, which cannot be written to standard output: {error.strerror}",
              file=sys.stderr)


def _debug_plan(invocation: Invocation) -> DebugPlan | None:
    if not any(invocation.flags.given(name) for name in ("on-error", "debug-run", "debug-then")):
        return None
    from builder.cli.debugger import debug_plan

    return debug_plan(invocation.flags)


def _write_results(invocation: Invocation, result: BuildResult, findings: list[WarningRaised]) -> None:
    if path := invocation.flags.text("iidfile-raw"):
        write_atomically(path, (result.image_id or result.digest).removeprefix("sha256:").encode())
    if path := invocation.flags.text("iidfile"):
        write_atomically(path, (result.image_id or result.digest).encode())
    for path, text in digest_files(invocation.flags, result.digest, result.names).items():
        write_atomically(path, text.encode())
    if path := invocation.flags.text("metadata-file"):
        write_metadata(path, result.metadata, findings)


def write_metadata(path: str, metadata: Mapping[str, object], findings: Sequence[WarningRaised]) -> None:
    """--metadata-file: JSON, with the findings where BUILDX_METADATA_WARNINGS asks for them."""
    if findings and _wants_warnings():
        from builder.ui.rawjson import solve_warning

        metadata = {**metadata, "buildx.build.warnings": [solve_warning(finding) for finding in findings]}
    write_atomically(path, msgspec.json.format(msgspec.json.encode(metadata), indent=2))


def _wants_warnings() -> bool:
    from builder.golang.bool import parse_bool

    try:
        return parse_bool(os.environ.get("BUILDX_METADATA_WARNINGS", ""))
    except ValueError:  # as with buildx: anything else is no
        return False


def write_atomically(path: str, content: bytes) -> None:
    """Readers of `path` see either the old or the complete new content. A device or pipe is written to directly."""
    from builder.rooted.named import write_file

    try:
        write_file(path, content)
    except OSError as error:
        raise CannotWrite(path, error) from error


def write_findings(findings: list[WarningRaised], debug: bool) -> None:
    """The summary of the findings, on standard error."""
    from builder.cli.findings import summary
    from builder.ui.colors import Palette
    from builder.ui.output import Output

    palette = Palette.from_environment(os.environ) if sys.stderr.isatty() else Palette()
    Output(sys.stderr).write(summary(findings, palette, debug=debug))


def _write_profile(invocation: Invocation, build: str) -> None:
    from builder.ui.output import Output
    from builder.ui.profiletext import render

    with invocation.open() as builder:
        Output(sys.stderr).write("\n" + render(builder.inspector.profile(builder.find_build(build))))


def _print(invocation: Invocation, options: BuildOptions) -> int:
    what = invocation.flags.text("print")
    if what not in PRINTED.known:
        raise InvalidValue(f"`{what}` cannot be printed", hint=f"--print takes {', '.join(PRINTED.known)}")
    with invocation.open() as builder:
        text = builder.print_build(options, what)
    print(text, end="" if text.endswith("\n") else "\n")
    return 0


def progress_mode(flags: Values) -> str:
    """What --progress, or the environment, says. Raises InvalidValue."""
    mode = flags.text("progress") or os.environ.get("BUILDKIT_PROGRESS", "") or "auto"
    if mode not in PROGRESS.known:
        raise InvalidValue(f"invalid progress mode {mode}", hint=f"choose one of {', '.join(PROGRESS.known)}")
    return mode


def _progress_mode(flags: Values) -> str:
    mode = progress_mode(flags)
    if flags.on("quiet"):
        if flags.text("progress") not in ("", "auto", "quiet"):
            raise UsageError(f"progress={mode} and quiet cannot be used together")
        return "quiet"
    return mode


COMMAND = Command("build", "[OPTIONS] PATH | URL | -", run, flags=FLAGS, arguments=(0, None), takes=DIRECTORY)
