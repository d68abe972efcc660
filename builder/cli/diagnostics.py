"""How errors are shown: the only place that turns a BuilderError into text.

    error[unknown-instruction]: unknown instruction `RUNN`
     --> Dockerfile:4:1
      |
    4 | RUNN apt-get update
      | ^^^^
    hint: did you mean `RUN`?

A failed build also ends with the line that scripts look for: `ERROR: failed to build: failed to solve: ...`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from builder.cli.excerpt import caret_excerpt, docker_excerpt
from builder.errors import (
    BuilderError,
    Cancelled,
    DockerfileError,
    DockerfileErrors,
    RegistryError,
    RunFailed,
    UsageError,
)
from builder.ui.colors import Palette, paint
from builder.ui.text import printable

_PLAIN = Palette()


def report(error: Exception, *, debug: bool) -> int:
    """Shows why a command ended on standard error; returns the exit status."""
    _write(render(error, _palette()))
    if debug:
        _write_traceback(error)
    return exit_status(error)


def report_build(error: Exception, *, debug: bool, progress: str) -> int:
    """Shows why a build ended; the excerpt is docker's where the progress was (`plain`)."""
    if progress == "plain" and isinstance(error, BuilderError):
        lines = _docker_lines(error)
    elif progress == "tty" and isinstance(error, BuilderError) and not isinstance(error, DockerfileErrors):
        lines = render(error, _palette())[1:]  # the last line says it
    elif not isinstance(error, RunFailed):
        lines = render(error, _palette())
    else:
        lines = [*render(error, _palette()), *_output_of(error)]
    if isinstance(error, BuilderError):
        lines = [*lines, f"ERROR: {docker_sentence(error)}"]
    _write(lines)
    if debug:
        _write_traceback(error)
    return exit_status(error)


def exit_status(error: Exception) -> int:
    return error.exit_code if isinstance(error, BuilderError) else 1


def render(error: Exception, palette: Palette = _PLAIN) -> list[str]:
    """The lines that explain `error`."""
    if isinstance(error, DockerfileErrors):
        return [line for each in error.errors for line in (*_render_one(each, palette), "")][:-1]
    if isinstance(error, BuilderError):
        return _render_one(error, palette)
    if isinstance(error, OSError) and error.strerror:
        where = f"`{printable(os.fsdecode(error.filename))}`: " if error.filename is not None else ""
        return [_head("system", palette) + where + error.strerror.lower(), *_hint("`--debug` shows where", palette)]
    last = _last_frame(error)
    return [_head("internal", palette) + f"{type(error).__name__}: {printable(str(error))}", *last,
            "note: this is a bug in builder",
            *_hint("run it again with `--debug` and report the traceback", palette)]


def _render_one(error: BuilderError, palette: Palette) -> list[str]:
    lines = [_head(error.code, palette) + paint(printable(error.message), palette.strong)]
    if error.location is not None:
        gutter = " " * len(str(max(error.location.span.line, error.location.span.end_line)))
        lines.append(f"{gutter}--> {printable(str(error.location))}")
        lines.extend(caret_excerpt(error.location))
    return lines + _facts(error, palette)


def _facts(error: BuilderError, palette: Palette, *, cause: bool = True) -> list[str]:
    lines = []
    if error.cause and cause:
        first, *others = error.cause.splitlines() or [""]
        lines = [f"cause: {printable(first)}", *(f"  {printable(line)}" for line in others)]
    lines.extend(f"note: {printable(note)}" for note in error.notes)
    return lines + _hint(error.hint, palette)


def _hint(text: str | None, palette: Palette) -> list[str]:
    return [paint("hint:", palette.strong) + f" {printable(text)}"] if text else []


def _head(code: str, palette: Palette) -> str:
    return paint(f"error[{code}]:", palette.error) + " "


def _docker_lines(error: BuilderError) -> list[str]:
    if not isinstance(error, DockerfileErrors):
        said = isinstance(error, RegistryError)  # its cause is in the last line
        return [*(docker_excerpt(error.location) if error.location else ()), *_facts(error, _PLAIN, cause=not said)]
    lines: list[str] = []
    for each in error.errors:
        if len(error.errors) > 1:
            lines.append(_line_sentence(each))
        lines.extend(_docker_lines(each))
    return lines


def _output_of(error: RunFailed) -> list[str]:
    if not error.output:
        return []
    return ["cause: the end of its output", *(f"  {printable(line)}" for line in error.output)]


def docker_sentence(error: BuilderError) -> str:
    """What buildx says behind `ERROR: `, for the same mistake."""
    if isinstance(error, UsageError):
        return printable(error.message)
    return f"failed to build: failed to solve: {solver_sentence(error)}"


def solver_sentence(error: BuilderError) -> str:
    """What BuildKit itself says."""
    return "Canceled: context canceled" if isinstance(error, Cancelled) else _line_sentence(error)


def _line_sentence(error: BuilderError) -> str:
    if isinstance(error, DockerfileError) and error.location is not None and not _is_about_meaning(error):
        return f"dockerfile parse error on line {error.location.span.line}: {printable(error.message)}"
    if isinstance(error, RegistryError) and error.cause:
        return printable(f"{error.message}: {error.cause.splitlines()[0]}")
    return printable(error.message)


def _is_about_meaning(error: DockerfileError) -> bool:
    """Whether the file could be parsed: such errors are named without their line."""
    from builder.language.words import ExpansionError
    from builder.plan.errors import PlanError

    return isinstance(error, PlanError | ExpansionError)


def _last_frame(error: Exception) -> list[str]:
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return []
    module = frames[-1].filename.rpartition("builder/")[2]
    return [f" --> builder/{module}:{frames[-1].lineno} ({frames[-1].name})"]


def _palette() -> Palette:
    return Palette.from_environment(os.environ) if sys.stderr.isatty() else _PLAIN


def _write(lines: Sequence[str]) -> None:
    sys.stderr.write("".join(line + "\n" for line in lines))
    sys.stderr.flush()


def _write_traceback(error: Exception) -> None:
    import traceback

    traceback.print_exception(error)
