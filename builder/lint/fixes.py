"""`builder lint --fix`: fixes for findings that need no decision.

A fix keeps the image as it is, but for those that are asked for by name of being unsafe: they do what the rule wants,
and the image's config changes by it. Every fix is checked: the new lines must parse to the value that it promises.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import msgspec

from builder.golang.quote import quote
from builder.language.format import head_length, physical_lines, reparsed, statements_of
from builder.language.instructions import (
    AnyInstruction,
    Cmd,
    Dockerfile,
    Entrypoint,
    Env,
    ExecForm,
    Expose,
    From,
    Label,
    Maintainer,
    Pair,
    ShellForm,
    Statement,
)
from builder.language.words import ExpansionError, Words
from builder.lint import rules
from builder.lint.checks import majority_case
from builder.lint.rules import Finding, Rule

_KEYWORD = re.compile(r"([ \t\v\f\ufeff]*)([A-Za-z]+)")
_AS = re.compile(r"(\s)(as)(\s+)(\S+)([ \t\r]*)$", re.IGNORECASE)
_PLATFORM = re.compile(r"--platform=\S+[ \t]+")
_PROTOCOL = re.compile(r"(?<=\d)/(?:tcp|udp|sctp)(?=\s|$)", re.IGNORECASE)
_PLAIN_WORDS = re.compile(r"[\w./:@%+,=-]+(?: +[\w./:@%+,=-]+)*")
_ONE_WORD = re.compile(r"""\S+|"[^"\\`]*"|'[^']*'""")
_BUILTINS = frozenset({".", ":", "alias", "bg", "cd", "command", "eval", "exec", "exit", "export", "fg", "hash", "jobs",
                       "read", "readonly", "return", "set", "shift", "source", "times", "trap", "type", "ulimit",
                       "umask", "unalias", "unset", "wait"})

Edit = Callable[[list[str], Statement, Dockerfile], "tuple[list[str], AnyInstruction] | None"]
"""The lines of a statement up to its here-documents, changed, and what they promise to mean; None to leave it."""


def fixed(dockerfile: Dockerfile, findings: Iterable[Finding], *, unsafe: bool = False) -> str:
    """The file's text with the fixable findings fixed; other fixes may be possible after that."""
    edits = {**_SAFE, **_UNSAFE} if unsafe else _SAFE
    lines = physical_lines(dockerfile.source.text)
    wanted = [(finding.span.line, edits[finding.rule.name]) for finding in findings
              if finding.span is not None and finding.rule.name in edits]
    for statement in reversed(list(statements_of(dockerfile))):
        span = statement.span
        for edit in dict.fromkeys(edit for line, edit in wanted if span.line <= line <= span.end_line):
            before = lines[span.line - 1:span.end_line]
            length = head_length(before, dockerfile.escape)
            changed = edit(before[:length], statement, dockerfile)
            if changed is None:
                continue
            after = [*changed[0], *before[length:]]
            if reparsed(after, statement, dockerfile.escape) == changed[1]:
                lines[span.line - 1:span.end_line] = after
                break  # the rest of what was found here has to be found again in the new lines
    text = "\n".join(lines)
    return f"{text}\n" if dockerfile.source.text.endswith("\n") else text


def _keyword_case(lines: list[str], statement: Statement, dockerfile: Dockerfile) -> tuple[list[str], AnyInstruction]:
    case = majority_case(dockerfile)
    first = _KEYWORD.sub(lambda match: match[1] + case(match[2]), lines[0], count=1)
    return [first, *lines[1:]], statement.instruction


def _as_case(lines: list[str], statement: Statement, dockerfile: Dockerfile) -> tuple[list[str], AnyInstruction]:
    case = str.lower if statement.keyword.islower() else str.upper
    return [*lines[:-1], _AS.sub(lambda m: f"{m[1]}{case(m[2])}{m[3]}{m[4]}{m[5]}", lines[-1])], statement.instruction


def _stage_name(lines: list[str], statement: Statement, dockerfile: Dockerfile) -> tuple[list[str], AnyInstruction]:
    """Stage names are compared in lower case everywhere, so nothing else has to change."""
    return [*lines[:-1], _AS.sub(lambda m: f"{m[1]}{m[2]}{m[3]}{m[4].lower()}{m[5]}", lines[-1])], \
        statement.instruction


def _no_blank_lines(lines: list[str], statement: Statement, dockerfile: Dockerfile) -> tuple[list[str], AnyInstruction]:
    return [line for line in lines if line.strip()], statement.instruction


def _without_platform(lines: list[str], statement: Statement,
                      dockerfile: Dockerfile) -> tuple[list[str], AnyInstruction] | None:
    if not isinstance(statement.instruction, From):
        return None
    return [_PLATFORM.sub("", lines[0], count=1), *lines[1:]], \
        msgspec.structs.replace(statement.instruction, platform="")


def _protocol_case(lines: list[str], statement: Statement,
                   dockerfile: Dockerfile) -> tuple[list[str], AnyInstruction] | None:
    if not isinstance(statement.instruction, Expose):
        return None
    ports = tuple(_PROTOCOL.sub(_lower, port) for port in statement.instruction.ports)
    return [_PROTOCOL.sub(_lower, line) for line in lines], Expose(ports=ports)


def _lower(match: re.Match[str]) -> str:
    return match[0].lower()


def _key_equals_value(lines: list[str], statement: Statement,
                      dockerfile: Dockerfile) -> tuple[list[str], AnyInstruction] | None:
    """`ENV key some words` as `ENV key="some words"`, where both are sure to become the same value."""
    instruction = statement.instruction
    if len(lines) > 1 or not isinstance(instruction, Env | Label) or len(instruction.pairs) != 1:
        return None
    pair = instruction.pairs[0]
    value = pair.value if _ONE_WORD.fullmatch(pair.value) else f'"{pair.value}"'
    if not _is_same_word(pair.value, value, dockerfile.escape):
        return None
    indent = lines[0][:len(lines[0]) - len(lines[0].lstrip())]
    replaced = msgspec.structs.replace(instruction, pairs=(Pair(pair.key, value),))
    return [f"{indent}{statement.keyword} {pair.key}={value}"], replaced


def _is_same_word(old: str, new: str, escape: str) -> bool:
    words = Words(escape, skip_unset=True)
    try:
        return words.expand(old, {}).result == words.expand(new, {}).result
    except ExpansionError:
        return False


def _exec_form(lines: list[str], statement: Statement,
               dockerfile: Dockerfile) -> tuple[list[str], AnyInstruction] | None:
    """`CMD a b` as `CMD ["a", "b"]`, where no shell is needed to read it."""
    instruction = statement.instruction
    if not isinstance(instruction, Cmd | Entrypoint) or not isinstance(instruction.command, ShellForm):
        return None
    text = instruction.command.text
    words = tuple(text.split())
    if len(lines) > 1 or not _PLAIN_WORDS.fullmatch(text) or words[0] in _BUILTINS or "=" in words[0]:
        return None
    array = ", ".join(quote(word) for word in words)
    return [f"{statement.keyword} [{array}]"], msgspec.structs.replace(instruction, command=ExecForm(words))


def _authors_label(lines: list[str], statement: Statement,
                   dockerfile: Dockerfile) -> tuple[list[str], AnyInstruction] | None:
    if len(lines) > 1 or not isinstance(statement.instruction, Maintainer):
        return None
    escape, name = dockerfile.escape, statement.instruction.name
    value = '"' + re.sub(f'["${re.escape(escape)}]', lambda special: escape + special[0], name) + '"'
    keyword = "label" if statement.keyword.islower() else "LABEL"
    pair = Pair("org.opencontainers.image.authors", value)
    return [f"{keyword} {pair.key}={value}"], Label(pairs=(pair,))


def _table(*entries: tuple[Rule, Edit]) -> dict[str, Edit]:
    return {rule.name: edit for rule, edit in entries}


_SAFE = _table(
    (rules.CONSISTENT_INSTRUCTION_CASING, _keyword_case), (rules.FROM_AS_CASING, _as_case),
    (rules.STAGE_NAME_CASING, _stage_name), (rules.NO_EMPTY_CONTINUATION, _no_blank_lines),
    (rules.REDUNDANT_TARGET_PLATFORM, _without_platform), (rules.EXPOSE_PROTO_CASING, _protocol_case),
    (rules.LEGACY_KEY_VALUE_FORMAT, _key_equals_value))
_UNSAFE = _table((rules.JSON_ARGS_RECOMMENDED, _exec_form), (rules.MAINTAINER_DEPRECATED, _authors_label))

FIXABLE = frozenset(_SAFE)
FIXABLE_UNSAFELY = frozenset(_UNSAFE)
