"""Text in, Dockerfile out.

    physical lines ─lines─▶ logical lines ─forms (Lark)─▶ forms ─values─▶ instructions ─▶ stages

Parsing is pure, and goes on after a mistake: all that are independent of each other are reported together.
"""

from __future__ import annotations

from itertools import chain

import msgspec

from builder.errors import DockerfileError, DockerfileErrors
from builder.golang.space import SPACE
from builder.language.forms import Form, read_form
from builder.language.heredocs import heredocs_in
from builder.language.instructions import Arg, Dockerfile, From, Heredoc, Stage, Statement
from builder.language.instructionvalues import ForbiddenTrigger, documentation, instruction_of
from builder.language.lines import LineReader, LineTooLong, LogicalLine
from builder.language.syntaxline import foreign_syntax
from builder.language.words import ExpansionError
from builder.language.wordtable import word_table
from builder.source import Location, Source, Span

_MAX_ERRORS = 100
"""A file with so many mistakes is no Dockerfile at all; reading on helps nobody."""


class NoStage(DockerfileError):
    code = "no-stage"

    def __init__(self, location: Location) -> None:
        super().__init__("no build stage in current context", location=location,
                         hint="only ARG may come before the first FROM")


class NoInstructions(DockerfileError):
    code = "no-instructions"

    def __init__(self, location: Location) -> None:
        super().__init__("file with no instructions", location=location)


class EmptyDockerfile(DockerfileError):
    code = "empty-dockerfile"

    def __init__(self, location: Location) -> None:
        super().__init__("the Dockerfile cannot be empty", location=location, hint="add a FROM")


class NoStages(DockerfileError):
    code = "no-stages"

    def __init__(self, location: Location) -> None:
        super().__init__("dockerfile contains no stages to build", location=location, hint="add a FROM")


class SeveralTriggers(DockerfileError):
    code = "several-triggers"

    def __init__(self, location: Location) -> None:
        super().__init__("onbuild trigger should be a single expression", location=location)


def parse(source: Source) -> Dockerfile:
    """The Dockerfile that the text means. Raises DockerfileErrors."""
    if not source.text:
        raise DockerfileErrors((EmptyDockerfile(Location(source, Span(1, 1, 1, 1))),))
    reader = LineReader(source)
    if (foreign := foreign_syntax(source, reader.directives)) is not None:
        raise DockerfileErrors((foreign,))
    stages = _Stages()
    errors = list(reader.errors)
    try:
        while len(errors) < _MAX_ERRORS and (line := reader.next()):
            try:
                stages.read(line, reader)
            except DockerfileError as error:
                errors.append(_with_beginning(error, line))
    except LineTooLong as error:
        errors.append(error)
    if not errors and not stages.stages:
        errors.append(NoStages(reader.end) if stages.global_args else NoInstructions(reader.end))
    if errors:
        raise DockerfileErrors(tuple(sorted(errors, key=_line_of)))
    statements = [*stages.global_args, *chain.from_iterable(stages.stages)]
    return Dockerfile(source=source, directives=reader.directives, escape=reader.escape,
                      words=word_table(statements, reader.escape),
                      global_args=tuple(stages.global_args), stages=tuple(map(_stage, stages.stages)),
                      empty_continuations=tuple(reader.empty_continuations))


def parse_instruction(text: str, name: str = "ONBUILD") -> Statement:
    """A single instruction: what an image's ONBUILD asks for. `name` is what errors call the text.

    Raises the DockerfileError of its first mistake.
    """
    source = Source(name, text)
    reader = LineReader(source)
    line = reader.next()
    if line is None:
        raise NoInstructions(reader.end)
    statement = _statement(line, read_form(line, reader.escape), reader)
    if isinstance(statement.instruction, From):
        raise ForbiddenTrigger("FROM isn't allowed as an ONBUILD trigger", location=reader.end)
    if reader.next() is not None:
        raise SeveralTriggers(reader.end)
    return statement


class _Stages:
    """Sorts statements into stages as they come."""

    def __init__(self) -> None:
        self.global_args: list[Statement] = []
        self.stages: list[list[Statement]] = []
        """Each begins with its FROM."""
        self._is_open = False
        """No complaint (any more) about instructions without a FROM."""

    def read(self, line: LogicalLine, reader: LineReader) -> None:
        """Takes one instruction in. Raises the DockerfileError of its first mistake."""
        form = read_form(line, reader.escape)
        self._is_open = self._is_open or form.name == "from"
        statement = _statement(line, form, reader)
        if isinstance(statement.instruction, From):
            self.stages.append([statement])
        elif self.stages:
            self.stages[-1].append(statement)
        elif isinstance(statement.instruction, Arg):
            self.global_args.append(statement)
        elif not self._is_open:
            self._is_open = True
            raise NoStage(form.location())


def _statement(line: LogicalLine, form: Form, reader: LineReader) -> Statement:
    """The instruction and its here-documents, whose bodies are read even if it turns out to be wrong."""
    heredocs: list[Heredoc] = []
    if _may_have_heredocs(form):
        try:
            heredocs = heredocs_in(line.text)
        except ExpansionError as error:
            raise error.at(form.location()) from None
    bodies = tuple(msgspec.structs.replace(heredoc, content=reader.body(heredoc, form.location()))
                   for heredoc in heredocs)
    place = form.location().span
    end_line, end_column = reader.position
    return Statement(instruction=instruction_of(form, bodies), keyword=form.keyword, text=line.text.strip(SPACE),
                     span=Span(place.line, place.column, end_line, end_column), comments=line.comments)


def _may_have_heredocs(form: Form) -> bool:
    inner = form.trigger if form.name == "onbuild" else form
    return inner is not None and inner.name in ("run", "copy", "add") and not inner.is_json


def _stage(statements: list[Statement]) -> Stage:
    first, *body = statements
    base = first.instruction
    assert isinstance(base, From)
    return Stage(statement=first, body=tuple(body), description=documentation(first.comments, base.name))


def _with_beginning(error: DockerfileError, line: LogicalLine) -> DockerfileError:
    """The error, which may be some lines down, with a note of where the instruction begins."""
    first = line.places[0][0]
    if _line_of(error) != first:
        error.notes = (*error.notes, f"in the instruction that begins on line {first}")
    return error


def _line_of(error: DockerfileError) -> int:
    return error.location.span.line if error.location else 0
