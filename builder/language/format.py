"""`builder fmt`: one way to write what has no meaning, every other character as it was.

What is made alike: keywords (upper case, one blank behind them and behind flags), `AS`, blanks and carriage returns at
line ends, the indentation of continued lines, runs of blank lines, the newline at the end. The text of a RUN is part of
what its cache key is made of, so it stays as it is, and so do here-documents and comments.

Nothing is taken on trust: each change to an instruction is kept only if it still parses to the same value.
"""

from __future__ import annotations

import collections
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from builder.errors import DockerfileError
from builder.language.instructions import AnyInstruction, Dockerfile, From, Onbuild, Run, Statement
from builder.language.lines import LineReader
from builder.language.parser import parse
from builder.source import Source

Meaning: TypeAlias = tuple[object, ...]
"""What a Dockerfile says, without places and spelling; to be compared."""

_Change: TypeAlias = Callable[[list[str]], list[str]]

_INDENT = "    "
_HEAD = re.compile(r"[ \t\v\f]*([^ \t\v\f\\`]+)(.*)", re.DOTALL)
_FLAG = re.compile(r"(--[^\s'\"\\`]+)[ \t]+(?=\S)")
_AS = re.compile(r"(\S+)[ \t]+as[ \t]+(\S+)", re.IGNORECASE)
_HEALTHCHECK_TYPE = re.compile(r"((?:--[^\s'\"\\`]+[ \t]+)*)(cmd|none)(?=[ \t]|$)", re.IGNORECASE)


def format_dockerfile(dockerfile: Dockerfile) -> str:
    """The file's text in its canonical form. Formatting that again changes nothing."""
    lines = physical_lines(dockerfile.source.text)
    indent = _indentation(lines, dockerfile.escape)
    out: list[str] = []
    read = 0
    for statement in statements_of(dockerfile):
        first, last = statement.span.line - 1, statement.span.end_line
        out += _gap(lines[read:first], is_first=not out, is_last=False)
        out += _formatted(lines[first:last], statement, dockerfile.escape, indent)
        read = last
    out += _gap(lines[read:], is_first=False, is_last=True)
    return "".join(f"{line}\n" for line in out)


def meaning(dockerfile: Dockerfile) -> Meaning:
    """All that a build can notice: equal for two texts that only differ in form."""
    return (
        dockerfile.escape, tuple((directive.key, directive.value) for directive in dockerfile.directives),
        tuple(map(_said, dockerfile.global_args)),
        tuple((stage.description, _said(stage.statement), tuple(map(_said, stage.body)))
              for stage in dockerfile.stages))


def _said(statement: Statement) -> tuple[AnyInstruction, tuple[str, ...]]:
    return statement.instruction, statement.comments


def statements_of(dockerfile: Dockerfile) -> Iterator[Statement]:
    """All instructions from top to bottom."""
    yield from dockerfile.global_args
    for stage in dockerfile.stages:
        yield stage.statement
        yield from stage.body


def physical_lines(text: str) -> list[str]:
    """The lines without their newlines; the last one need not have one."""
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]


def _gap(lines: Sequence[str], *, is_first: bool, is_last: bool) -> list[str]:
    """The comments and blank lines between two instructions.

    A blank line at the very top stays where a comment follows, which could become a directive without it.
    """
    out: list[str] = []
    for line in (line.rstrip() for line in lines):
        if line or not out or out[-1]:
            out.append(line)
    if is_last or (is_first and not any(out)):
        while out and not out[-1]:
            out.pop()
    return out


def _indentation(lines: Sequence[str], escape: str) -> str:
    """What the file indents most continued lines with: a tab, two blanks or four; four where it is not told."""
    seen = collections.Counter(
        after[:len(after) - len(after.lstrip())] for before, after in itertools.pairwise(lines)
        if before.rstrip().endswith(escape) and after.strip())
    return max((_INDENT, "\t", "  "), key=lambda indent: seen[indent])


def _formatted(lines: list[str], statement: Statement, escape: str, indent: str) -> list[str]:
    length = head_length(lines, escape)
    head, tail = lines[:length], lines[length:]
    is_run = isinstance(statement.instruction, Run) or _is_run_trigger(statement.instruction)
    changes: list[_Change] = [
        lambda now: [line.rstrip(" \t\r") for line in now],
        lambda now: [_with_canonical_head(now[0], statement.instruction), *now[1:]],
        lambda now: _indented(now, indent, flags_only=is_run),
    ]
    for change in changes:
        changed = change(head)
        if changed != head and reparsed([*changed, *tail], statement, escape) == statement.instruction:
            head = changed
    return [*head, *tail]


def head_length(lines: Sequence[str], escape: str) -> int:
    """How many of an instruction's lines come before its here-documents."""
    top = _top(escape)
    line = LineReader(Source("", top + "\n".join(lines))).next()
    assert line is not None, "they are an instruction"
    return line.last - top.count("\n")


def _top(escape: str) -> str:
    return "" if escape == "\\" else f"# escape={escape}\n"


def _is_run_trigger(instruction: AnyInstruction) -> bool:
    return isinstance(instruction, Onbuild) and isinstance(instruction.trigger, Run)


def _with_canonical_head(line: str, instruction: AnyInstruction) -> str:
    """The first line with its keyword in upper case, and one blank behind the keyword and each flag."""
    bom = "\ufeff" if line.startswith("\ufeff") else ""
    match = _HEAD.fullmatch(line.removeprefix(bom))
    if match is None:
        return line
    rest = match[2].lstrip(" \t\v\f")
    flags = ""
    while flag := _FLAG.match(rest):
        flags += f"{flag[1]} "
        rest = rest[flag.end():]
    if isinstance(instruction, From):
        rest = _AS.sub(r"\1 AS \2", rest)
    elif match[1].lower() == "healthcheck":
        rest = _HEALTHCHECK_TYPE.sub(lambda kind: kind[1] + kind[2].upper(), rest, count=1)
    keyword = f"{bom}{match[1].upper()}"
    return f"{keyword} {flags}{rest}" if flags or rest else keyword


def _indented(lines: list[str], indent: str, *, flags_only: bool) -> list[str]:
    """Continued lines indented alike; of a RUN only those that hold its flags."""
    out = lines[:1]
    is_open = not flags_only or _is_all_flags(lines[0].partition(" ")[2])
    for line in lines[1:]:
        text = line.lstrip(" \t")
        is_open = is_open and not (flags_only and text and not text.startswith(("#", "--")))
        if is_open and text:
            out.append(text if text.startswith("]") else indent + text)
        else:
            out.append(line)
    return out


def _is_all_flags(text: str) -> bool:
    """Whether nothing but flags and an escape character is in the first line of a RUN."""
    return _FLAG.sub("", text).strip() in ("\\", "`")


def reparsed(lines: Sequence[str], statement: Statement, escape: str) -> AnyInstruction | None:
    """What lines that take the place of a statement mean; None if they are not one instruction."""
    is_from = isinstance(statement.instruction, From)
    base = "" if is_from else "FROM scratch\n"
    text = "\n".join(lines).removeprefix("\ufeff")
    try:
        parsed = parse(Source("", f"{_top(escape)}{base}{text}\n"))
    except DockerfileError:
        return None
    statements = [stage.statement for stage in parsed.stages] if is_from else list(parsed.stages[0].body)
    return statements[0].instruction if len(statements) == 1 else None
