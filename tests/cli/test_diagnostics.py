"""The whole text of errors: what people read is what is checked."""

from __future__ import annotations

from builder.cli.diagnostics import docker_sentence, render
from builder.cli.excerpt import docker_excerpt
from builder.errors import BuilderError, ContextError, DockerfileError, DockerfileErrors, RunFailed, UsageError
from builder.source import Location, Source, Span
from builder.ui.colors import Palette

SOURCE = Source("Dockerfile", "FROM scratch\n\n\nRUNN apt-get update\nRUN a && \\\n    b && \\\n    c\n"
                              "COPY\tdist/日本.js /srv/\n")


class Unknown(DockerfileError):
    code = "unknown-instruction"


def at(line: int, column: int, end_column: int, end_line: int = 0) -> Location:
    return Location(SOURCE, Span(line, column, end_line or line, end_column))


def text(error: Exception) -> str:
    return "\n".join(render(error)) + "\n"


def test_an_error_in_one_line() -> None:
    assert text(Unknown("unknown instruction `RUNN`", location=at(4, 1, 5), hint="did you mean `RUN`?")) == """\
error[unknown-instruction]: unknown instruction `RUNN`
 --> Dockerfile:4:1
  |
4 | RUNN apt-get update
  | ^^^^
hint: did you mean `RUN`?
"""


def test_a_whole_line() -> None:
    assert text(DockerfileError("no", location=Location(SOURCE, Span.at_line(6)))) == """\
error[dockerfile]: no
 --> Dockerfile:6
  |
6 |     b && \\
  |     ^^^^^^
"""


def test_tabs_and_wide_characters_keep_carets_in_place() -> None:
    assert text(ContextError("`dist/日本.js` is not in the build context", location=at(8, 6, 16),
                             notes=("excluded by `.dockerignore` line 3: `dist`",),
                             hint="add `!dist/日本.js` to `.dockerignore`")) == """\
error[context]: `dist/日本.js` is not in the build context
 --> Dockerfile:8:6
  |
8 | COPY    dist/日本.js /srv/
  |         ^^^^^^^^^^^^
note: excluded by `.dockerignore` line 3: `dist`
hint: add `!dist/日本.js` to `.dockerignore`
"""


def test_several_lines_are_marked() -> None:
    assert text(RunFailed("/bin/sh -c a", 2, location=at(5, 1, 6, end_line=7))) == """\
error[run-failed]: process "/bin/sh -c a" did not complete successfully: exit code: 2
 --> Dockerfile:5:1
  |
5 | > RUN a && \\
6 | >     b && \\
7 | >     c
"""


def test_the_middle_of_a_long_span_is_left_out() -> None:
    source = Source("Dockerfile", "".join(f"line {n} \\\n" for n in range(1, 31)))
    error = DockerfileError("too long", location=Location(source, Span(5, 1, 20, 1)))
    assert text(error) == """\
error[dockerfile]: too long
  --> Dockerfile:5:1
   |
 5 | > line 5 \\
 6 | > line 6 \\
 7 | > line 7 \\
   ... 10 lines
18 | > line 18 \\
19 | > line 19 \\
20 | > line 20 \\
"""


def test_a_very_long_line_is_cut_round_the_place() -> None:
    source = Source("Dockerfile", "RUN " + "x" * 5000 + "HERE" + "y" * 5000)
    lines = render(DockerfileError("no", location=Location(source, Span(1, 5005, 1, 5009))))
    assert max(map(len, lines)) < 200
    caret = lines[-1].index("^")
    assert lines[-2][caret:caret + lines[-1].count("^")] == "HERE"


def test_places_outside_the_text_do_not_break_the_message() -> None:
    for span in (Span(99, 1, 99, 2), Span(4, 500, 4, 600), Span(1, 3, 1, 3), Span(0, 0, 0, 0)):
        assert text(DockerfileError("odd", location=Location(SOURCE, span))).startswith("error[dockerfile]: odd\n")
    assert render(DockerfileError("no", location=at(1, 3, 3)))[-1] == "  |   ^"


def test_causes_may_have_lines_and_nothing_steers_the_terminal() -> None:
    error = BuilderError("bad \x1b[2J name", cause="first\nsecond \x07", notes=("a\rb",), hint="do\nthis")
    assert text(error) == """\
error[error]: bad \\x1b[2J name
cause: first
  second \\x07
note: a\\rb
hint: do\\nthis
"""


def test_all_mistakes_of_a_file_are_shown() -> None:
    errors = DockerfileErrors((Unknown("one", location=at(1, 1, 5)), Unknown("two", location=at(4, 1, 5))))
    assert text(errors) == """\
error[unknown-instruction]: one
 --> Dockerfile:1:1
  |
1 | FROM scratch
  | ^^^^

error[unknown-instruction]: two
 --> Dockerfile:4:1
  |
4 | RUNN apt-get update
  | ^^^^
"""


def test_what_is_no_builder_error() -> None:
    assert text(PermissionError(13, "Permission denied", "/x/y")) == """\
error[system]: `/x/y`: permission denied
hint: `--debug` shows where
"""
    try:
        raise KeyError("gone")
    except KeyError as error:
        lines = render(error)
    assert lines[0] == "error[internal]: KeyError: 'gone'"
    assert lines[2:] == ["note: this is a bug in builder", "hint: run it again with `--debug` and report the traceback"]


def test_colours() -> None:
    lines = render(Unknown("x", location=at(4, 1, 5), hint="y"), Palette.from_environment({}))
    assert lines[0] == "\x1b[31merror[unknown-instruction]:\x1b[0m \x1b[1mx\x1b[0m"
    assert lines[-1] == "\x1b[1mhint:\x1b[0m y"


def test_the_line_that_scripts_look_for() -> None:
    solve = "failed to build: failed to solve: "
    assert docker_sentence(Unknown("unknown instruction `RUNN`", location=at(4, 1, 5))) == (
        solve + "dockerfile parse error on line 4: unknown instruction `RUNN`")
    assert docker_sentence(RunFailed('/bin/sh -c echo "a\\n"\nexit 3', 3)) == (
        solve + 'process "/bin/sh -c echo \\"a\\\\n\\"\\nexit 3" did not complete successfully: exit code: 3')
    assert docker_sentence(ContextError("`x`: not found")) == solve + "`x`: not found"
    assert docker_sentence(UsageError("no builder")) == "no builder"


def test_dockers_excerpt() -> None:
    """As many lines around as BuildKit shows (recorded from it)."""
    source = Source("Dockerfile", "FROM debian\nRUN echo fine\nRUN a; \\\n    b && \\\n    c\nRUN echo never\n")
    assert docker_excerpt(Location(source, Span(3, 1, 5, 6))) == [
        "Dockerfile:3", "--------------------",
        "   2 |     RUN echo fine", "   3 | >>> RUN a; \\", "   4 | >>>     b && \\", "   5 | >>>     c",
        "   6 |     RUN echo never", "--------------------"]
    assert docker_excerpt(Location(source, Span.at_line(1)), "x/Dockerfile") == [
        "x/Dockerfile:1", "--------------------", "   1 | >>> FROM debian", "   2 |     RUN echo fine",
        "   3 |     RUN a; \\", "--------------------"]
    assert docker_excerpt(Location(source, Span.at_line(50))) == []


def test_a_command_is_quoted_as_go_quotes_it() -> None:
    error = RunFailed('/bin/sh -c printf "\\r"\n\x1b\té', 1)
    assert error.message.startswith(r'process "/bin/sh -c printf \"\\r\"\n\x1b\té" did not complete')
