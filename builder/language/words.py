"""Words: what a Dockerfile's `$NAME`, `${NAME...}`, quotes and escapes mean.

`grammar/word.lark` is the syntax. A word's parts do not depend on variables, for a value is never read again: so the
words of a file are read once, when it is parsed, and kept with it in a WordTable. Here they are evaluated. All parts
are, also those that the result does not need: a mandatory variable inside an unused default still fails. What is wrong
with a word is a part of it too, and an error once it is evaluated, so words of unused stages do no harm.

In patterns `*` and `?` are wildcards, `[` is an ordinary character.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

import msgspec

from builder.errors import DockerfileError
from builder.golang.space import SPACE
from builder.language import substitution
from builder.language.wordparts import (
    NO_WORDS,
    Broken,
    Conditional,
    Double,
    Escaped,
    HeredocMark,
    OpenOperand,
    Part,
    Parts,
    Replaced,
    Single,
    Trimmed,
    Variable,
    WordTable,
    is_plain,
)

MAX_EXPANDED = 1 << 20
"""Characters that variables may add to one word: no process can get more of them as one argument or variable."""
_SHOWN = 200


class ExpansionError(DockerfileError):
    """A word that cannot be expanded; the planner adds the place with `at`."""

    code = "expansion"

    def __init__(self, word: str, reason: str) -> None:
        shown = word if len(word) <= _SHOWN else word[:_SHOWN] + "..."
        super().__init__(f"failed to process `{shown}`: {reason}")
        self.word = word
        self.reason = reason


class Expansion(msgspec.Struct, frozen=True):
    result: str
    matched: tuple[str, ...] = ()
    """The variables that were looked up and are set, in order of first use."""
    unmatched: tuple[str, ...] = ()
    """Those that are not set, also where a default took their place."""


class _Problem(Exception):
    def __init__(self, reason: str, at_end: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.at_end = at_end


class _TooLong(Exception):
    pass


class Words:
    """The rules for one kind of text. Immutable, may be shared between threads.

    `raw_quotes` and `raw_escapes` keep quotes and escapes in the result, `skip_quotes` makes quotes ordinary characters
    (here-document bodies), `skip_unset` leaves substitutions of unset variables as they are written. Words that are not
    in `table` are parsed first.
    """

    def __init__(self, escape: str = "\\", table: WordTable = NO_WORDS, *, raw_quotes: bool = False,
                 raw_escapes: bool = False, skip_quotes: bool = False, skip_unset: bool = False) -> None:
        self.escape = escape
        self.raw_quotes = raw_quotes
        self.raw_escapes = raw_escapes
        self.skip_quotes = skip_quotes
        self.skip_unset = skip_unset
        self._known = table.bodies if skip_quotes else table.words

    def expand(self, word: str, env: Mapping[str, str]) -> Expansion:
        """The word with its variables replaced and its quotes and escapes removed. Raises ExpansionError."""
        if is_plain(word, self.escape):
            return Expansion(word)
        evaluation = _Evaluation(self, env, None)
        result = evaluation.run(word, self._parts(word))
        return Expansion(result, tuple(evaluation.matched), tuple(evaluation.unmatched))

    def expand_many(self, word: str, env: Mapping[str, str]) -> list[str]:
        """The words that the expanded text falls into at unquoted blanks, also those inside values."""
        splitter = _Splitter()
        if is_plain(word, self.escape) and "<<" not in word:
            splitter.add(word)
        else:
            _Evaluation(self, env, splitter).run(word, self._parts(word))
        return splitter.finish()

    def _parts(self, word: str) -> Parts:
        if (known := self._known.get(word)) is not None:
            return known
        from builder.language.wordreader import read_body, read_word

        return read_body(word) if self.skip_quotes else read_word(word, self.escape)


class _Splitter:
    """Collects words. Blanks end a word unless they were quoted or escaped."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._parts: list[str] = []

    def add(self, text: str) -> None:
        for position, piece in enumerate(_spaces().split(text)):
            if position:
                self._end()
            if piece:
                self._parts.append(piece)

    def add_quoted(self, text: str) -> None:
        if text:
            self._parts.append(text)

    def restart(self) -> None:
        """Forget the unfinished word."""
        self._parts.clear()

    def finish(self) -> list[str]:
        self._end()
        return self._words

    def _end(self) -> None:
        if self._parts:
            self._words.append("".join(self._parts))
            self._parts.clear()


class _Evaluation:
    """One evaluation of one word."""

    def __init__(self, rules: Words, env: Mapping[str, str], splitter: _Splitter | None) -> None:
        self._rules = rules
        self._env = env
        self._splitter = splitter
        self._size = 0
        self.matched: dict[str, None] = {}
        self.unmatched: dict[str, None] = {}

    def run(self, word: str, parts: Parts) -> str:
        try:
            return self._word(parts)
        except _Problem as problem:
            raise ExpansionError(word, problem.reason) from None
        except (_TooLong, substitution.TooLong):
            reason = f"it comes to more than {MAX_EXPANDED >> 20} Mi characters once its variables are filled in"
            raise ExpansionError(word, reason) from None

    def _word(self, parts: Parts) -> str:
        splitter, raw = self._splitter, self._rules.raw_escapes
        if splitter is None:
            return "".join([self._part(part, raw) for part in parts])
        for part in parts:
            piece = self._part(part, raw)
            is_split = isinstance(part, str | Variable | Conditional | Trimmed | Replaced)
            splitter.add(piece) if is_split else splitter.add_quoted(piece)
        return ""

    def _operand(self, parts: Parts, raw_escapes: bool) -> str:
        if self._splitter is not None:
            self._splitter.restart()
        return "".join([self._part(part, raw_escapes) for part in parts])

    def _part(self, part: Part, raw_escapes: bool) -> str:
        match part:
            case str():
                return part
            case Variable():
                return self._variable(part)
            case Double():
                return self._double(part, raw_escapes)
            case Single(text=text):
                return f"'{text}'" if self._rules.raw_quotes else text
            case Escaped(text=text):
                return self._rules.escape + text if raw_escapes else text
            case Conditional():
                return self._conditional(part)
            case Trimmed():
                return self._trimmed(part)
            case Replaced():
                return self._replaced(part)
            case HeredocMark(text=text):
                return text
            case OpenOperand(operands=operands, reason=reason):
                return self._open(operands, part.raw_escapes, reason)
            case Broken(reason=reason, at_end=at_end):
                raise _Problem(reason, at_end)

    def _double(self, part: Double, raw_escapes: bool) -> str:
        text = "".join([self._part(inner, raw_escapes) for inner in part.parts])
        if not part.is_closed:
            raise _Problem("unexpected end of statement while looking for matching double-quote", True)
        return f'"{text}"' if self._rules.raw_quotes else text

    def _variable(self, part: Variable) -> str:
        value = self._look_up(part.name)
        if value is None and self._rules.skip_unset:
            return f"${{{part.name}}}" if part.in_braces else f"${part.name}"
        return value or ""

    def _conditional(self, part: Conditional) -> str:
        word = self._operand(part.word, False)
        value = self._look_up(part.name)
        if value is None and self._rules.skip_unset:
            return f"${{{part.name}{part.operator}{word}}}"
        is_absent = value is None or (part.operator[0] == ":" and value == "")
        match part.operator[-1]:
            case "-":
                return word if is_absent else value or ""
            case "+":
                return "" if is_absent else word
            case "?":
                if is_absent:
                    reason = "is not allowed to be " + ("unset" if value is None else "empty")
                    raise _Problem(f"{part.name}: {word or reason}", part.at_end)
                return value or ""
        raise _Problem(f"unsupported modifier ({part.operator}) in substitution", part.at_end)

    def _trimmed(self, part: Trimmed) -> str:
        word = self._operand(part.pattern, True)
        value = self._look_up(part.name)
        if value is None and self._rules.skip_unset:
            return f"${{{part.name}{part.operator}{word}}}"
        is_longest = word.startswith(part.operator)
        trim = substitution.without_prefix if part.operator == "#" else substitution.without_suffix
        try:
            return trim(value or "", word[1:] if is_longest else word, longest=is_longest)
        except substitution.BadPattern as error:
            raise _Problem(f"invalid pattern ({error.pattern}) in substitution: {error.reason}", part.at_end) from None

    def _replaced(self, part: Replaced) -> str:
        pattern = self._operand(part.pattern, True)
        word = self._operand(part.word, True)
        value = self._look_up(part.name)
        if value is None and self._rules.skip_unset:
            return f"${{{part.name}/{pattern}/{word}}}"
        try:
            return substitution.replaced(value or "", pattern, word, every=part.every, limit=MAX_EXPANDED)
        except substitution.BadPattern as error:
            raise _Problem(f"invalid pattern ({pattern}) in substitution: {error.reason}", part.at_end) from None

    def _open(self, operands: tuple[Parts, ...], raw_escapes: bool, reason: str) -> str:
        try:
            for operand in operands:
                self._operand(operand, raw_escapes)
        except _Problem as problem:
            if not problem.at_end:
                raise
        raise _Problem(reason, True)

    def _look_up(self, name: str) -> str | None:
        value = self._env.get(name)
        (self.unmatched if value is None else self.matched).setdefault(name)
        self._size += len(value or "")
        if self._size > MAX_EXPANDED:
            raise _TooLong
        return value


@cache
def _spaces() -> re.Pattern[str]:
    return re.compile(f"[{SPACE}]+")
