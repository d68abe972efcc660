"""Words: what a Dockerfile's `$NAME`, `${NAME...}`, quotes and escapes mean.

    word         := { plain | escape char | "'" raw "'" | '"' { plain | escape char | substitution } '"'
                    | substitution }
    substitution := "$" name | "${" name "}"
                  | "${" name [":"] ("-" | "+" | "?") word "}"     default, alternative, mandatory
                  | "${" name ("#" | "##" | "%" | "%%") word "}"   without the shortest or longest prefix or suffix
                  | "${" name ("/" | "//") word "/" word "}"       first or every match replaced
    name         := letters, digits, "_" | digits | one of @ * # ? - $ ! 0

In patterns `*` and `?` are wildcards, `[` is an ordinary character. All parts are evaluated, also those that the result
does not need, so a mandatory variable inside an unused default still fails. A scanner of our own rather than a Lark
grammar: words are expanded on every build, also when the parse of an unchanged Dockerfile comes from the store and
nothing else needs lark, and what is an error depends on where the scan has got to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

import msgspec

from builder.errors import DockerfileError
from builder.golang.space import SPACE
from builder.language import substitution

_MAX_NESTING = 100
MAX_EXPANDED = 1 << 20
"""Characters that variables may add to one word: no process can get more of them as one argument or variable."""
_SHOWN = 200
_SPECIAL_PARAMETERS = frozenset("@*#?-$!0")
_NO_RUNE = "\ufffd"
"""What Go prints for the character after the last one."""
_HEREDOC_BLANKS = re.compile(r"[\t\r ]*")


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
    pass


class _TooLong(Exception):
    pass


class Words:
    """The rules for one kind of text. Immutable, may be shared between threads.

    `raw_quotes` and `raw_escapes` keep quotes and escapes in the result, `skip_quotes` makes quotes ordinary characters
    (here-document bodies), `skip_unset` leaves substitutions of unset variables as they are written.
    """

    def __init__(self, escape: str = "\\", *, raw_quotes: bool = False, raw_escapes: bool = False,
                 skip_quotes: bool = False, skip_unset: bool = False) -> None:
        self.escape = escape
        self.raw_quotes = raw_quotes
        self.raw_escapes = raw_escapes
        self.skip_quotes = skip_quotes
        self.skip_unset = skip_unset
        self._special = f"[${'' if skip_quotes else chr(34) + chr(39)}{re.escape(escape)}]|\\A\ufeff"

    def expand(self, word: str, env: Mapping[str, str]) -> Expansion:
        """The word with its variables replaced and its quotes and escapes removed. Raises ExpansionError."""
        if re.search(self._special, word) is None:
            return Expansion(word)
        scan = _Scan(self, word, env, None)
        result = scan.run()
        return Expansion(result, tuple(scan.matched), tuple(scan.unmatched))

    def expand_many(self, word: str, env: Mapping[str, str]) -> list[str]:
        """The words that the expanded text falls into at unquoted blanks, also those inside values."""
        splitter = _Splitter()
        _Scan(self, word, env, splitter).run()
        return splitter.finish()


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


class _Scan:
    def __init__(self, rules: Words, word: str, env: Mapping[str, str], splitter: _Splitter | None) -> None:
        self._rules = rules
        self._escape = rules.escape
        self._word = word
        self._text = word.removeprefix("\ufeff")
        self._env = env
        self._splitter = splitter
        self._position = 0
        self._raw_escapes = rules.raw_escapes
        self._depth = 0
        self._size = 0
        self.matched: dict[str, None] = {}
        self.unmatched: dict[str, None] = {}

    def run(self) -> str:
        try:
            return self._until("", self._raw_escapes)
        except _Problem as problem:
            raise ExpansionError(self._word, str(problem)) from None
        except (_TooLong, substitution.TooLong):
            reason = f"it comes to more than {MAX_EXPANDED >> 20} Mi characters once its variables are filled in"
            raise ExpansionError(self._word, reason) from None

    def _peek(self) -> str:
        return self._text[self._position:self._position + 1]

    def _next(self) -> str:
        char = self._peek()
        self._position += len(char)
        return char

    def _until(self, stop: str, raw_escapes: bool) -> str:
        """The expanded text up to `stop`, which is consumed; with an empty `stop`, up to the end."""
        if self._depth > _MAX_NESTING:
            raise _Problem(f"substitutions are nested more than {_MAX_NESTING} deep")
        outer, self._raw_escapes = self._raw_escapes, raw_escapes
        splitter = self._splitter if self._depth == 0 else None
        if self._splitter is not None and splitter is None:
            self._splitter.restart()
        self._depth += 1
        plain = _plain(stop, self._escape, self._rules.skip_quotes)
        out: list[str] = []
        while char := self._peek():
            if run := plain.match(self._text, self._position):
                self._position = run.end()
                piece, quoted = run[0], False
            elif char == stop:
                self._position += 1
                break
            else:
                piece, quoted = self._special(char), char != "$"
            out.append(piece)
            if splitter is not None:
                splitter.add_quoted(piece) if quoted else splitter.add(piece)
        else:
            if stop:
                raise _Problem(f"unexpected end of statement while looking for matching {stop}")
        self._depth -= 1
        self._raw_escapes = outer
        return "".join(out)

    def _special(self, char: str) -> str:
        if char == "$":
            return self._dollar()
        self._position += 1
        if char == "<":
            return self._less_than()
        if char == self._escape:
            return (char if self._raw_escapes else "") + self._next()
        return self._double_quoted() if char == '"' else self._single_quoted()

    def _less_than(self) -> str:
        """`<<` keeps the blanks after it, so that a here-document's name belongs to its word."""
        if self._peek() != "<":
            return "<"
        blanks = _HEREDOC_BLANKS.match(self._text, self._position + 1)
        assert blanks is not None
        self._position = blanks.end()
        return "<<" + blanks[0]

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._position)
        if end < 0:
            raise self._unterminated("single-quote")
        body = self._text[self._position:end]
        self._position = end + 1
        return f"'{body}'" if self._rules.raw_quotes else body

    def _double_quoted(self) -> str:
        mark = '"' if self._rules.raw_quotes else ""
        out = [mark]
        plain = _plain_quoted(self._escape)
        while char := self._peek():
            if run := plain.match(self._text, self._position):
                self._position = run.end()
                out.append(run[0])
            elif char == '"':
                self._position += 1
                out.append(mark)
                return "".join(out)
            elif char == "$":
                out.append(self._dollar())
            else:
                out.append(self._escape_in_quotes())
        raise self._unterminated("double-quote")

    def _escape_in_quotes(self) -> str:
        """Only the quote, `$` and the escape character itself can be escaped; any other escape is text."""
        escape = self._next()
        char = self._peek()
        if not char:
            return ""
        if char in ('"', "$", escape):
            self._position += 1
        else:
            char = escape
        return escape + char if self._raw_escapes else char

    def _unterminated(self, quote: str) -> _Problem:
        self._position = len(self._text)
        return _Problem(f"unexpected end of statement while looking for matching {quote}")

    def _dollar(self) -> str:
        self._position += 1
        if self._peek() == "{":
            self._position += 1
            return self._braces()
        name = self._name()
        if not name:
            return "$"
        value = self._look_up(name)
        if value is None:
            return f"${name}" if self._rules.skip_unset else ""
        return value

    def _braces(self) -> str:
        first = self._peek()
        if not first:
            raise _Problem("syntax error: missing '}'")
        if first in "{}:":
            raise _Problem("syntax error: bad substitution")
        name = self._name()
        operator = self._next() or _NO_RUNE
        if operator == "}":
            value = self._look_up(name)
            if value is None:
                return f"${{{name}}}" if self._rules.skip_unset else ""
            return value
        if operator == "/":
            return self._replacement(name)
        if operator == ":":
            return self._conditional(name, ":", self._next() or _NO_RUNE)
        if operator in "+-?":
            return self._conditional(name, "", operator)
        if operator in "#%":
            return self._trimmed(name, operator)
        raise _unsupported(operator)

    def _conditional(self, name: str, colon: str, operator: str) -> str:
        if operator in "#%":
            raise _unsupported(colon + operator)
        word = self._operand("}", False, "syntax error: missing '}'")
        value = self._look_up(name)
        if value is None and self._rules.skip_unset:
            return f"${{{name}{colon}{operator}{word}}}"
        absent = value is None or (colon != "" and value == "")
        match operator:
            case "-":
                return word if absent else value or ""
            case "+":
                return "" if absent else word
            case "?":
                if absent:
                    reason = "is not allowed to be " + ("unset" if value is None else "empty")
                    raise _Problem(f"{name}: {word or reason}")
                return value or ""
        raise _unsupported(colon + operator)

    def _trimmed(self, name: str, operator: str) -> str:
        word = self._operand("}", True, "syntax error: missing '}'")
        value = self._look_up(name)
        if value is None and self._rules.skip_unset:
            return f"${{{name}{operator}{word}}}"
        longest = word.startswith(operator)
        pattern = word[1:] if longest else word
        trim = substitution.without_prefix if operator == "#" else substitution.without_suffix
        try:
            return trim(value or "", pattern, longest=longest)
        except substitution.BadPattern as error:
            raise _Problem(f"invalid pattern ({error.pattern}) in substitution: {error.reason}") from None

    def _replacement(self, name: str) -> str:
        every = self._peek() == "/"
        if every:
            self._position += 1
        pattern = self._operand("/", True, "syntax error: missing '/' in ${}")
        replacement = self._operand("}", True, "syntax error: missing '}'")
        value = self._look_up(name)
        if value is None and self._rules.skip_unset:
            return f"${{{name}/{pattern}/{replacement}}}"
        try:
            return substitution.replaced(value or "", pattern, replacement, every=every, limit=MAX_EXPANDED)
        except substitution.BadPattern as error:
            raise _Problem(f"invalid pattern ({pattern}) in substitution: {error.reason}") from None

    def _operand(self, stop: str, raw_escapes: bool, missing: str) -> str:
        try:
            return self._until(stop, raw_escapes)
        except _Problem:
            if self._position >= len(self._text):
                raise _Problem(missing) from None
            raise

    def _name(self) -> str:
        text, start = self._text, self._position
        end = start
        if text[start:start + 1].isdecimal():
            while text[end:end + 1].isdecimal():
                end += 1
        elif text[start:start + 1] in _SPECIAL_PARAMETERS:
            end += 1
        else:
            while (char := text[end:end + 1]) == "_" or char.isalpha() or char.isdecimal():
                end += 1
        self._position = end
        return text[start:end]

    def _look_up(self, name: str) -> str | None:
        value = self._env.get(name)
        (self.unmatched if value is None else self.matched).setdefault(name)
        self._size += len(value or "")
        if self._size > MAX_EXPANDED:
            raise _TooLong
        return value


def _unsupported(modifier: str) -> _Problem:
    return _Problem(f"unsupported modifier ({modifier}) in substitution")


@cache
def _spaces() -> re.Pattern[str]:
    return re.compile(f"[{SPACE}]+")


@cache
def _plain(stop: str, escape: str, skip_quotes: bool) -> re.Pattern[str]:
    """A run of characters without meaning of their own."""
    quotes = "" if skip_quotes else "\"'"
    return re.compile(f"[^$<{quotes}{re.escape(stop + escape)}]+")


@cache
def _plain_quoted(escape: str) -> re.Pattern[str]:
    return re.compile(f'[^$"{re.escape(escape)}]+')
