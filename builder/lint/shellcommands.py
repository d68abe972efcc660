"""A shell's command line, read just well enough for checks: which commands run, with which words.

No expansion is made and nothing is rejected; quotes are removed from words. Reserved words, redirections, comments and
leading assignments are left out. The commands inside `$(...)` and backquotes follow those that they are part of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

_RESERVED = frozenset({"!", "{", "}", "do", "done", "elif", "else", "esac", "fi", "if", "then", "time", "until",
                       "while"})
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
_BLANK = re.compile(r"(?:[ \t\r]|\\\n)+")
_REDIRECTION = re.compile(r"(?:\d+|&)?(?:>>|>\||>&|<&|<<<|<<-?|<>|>|<)[ \t]*")
_SEPARATOR = re.compile(r"&&|\|\||;;|\|&|[;&|()\n]")
_COMMENT = re.compile(r"#[^\n]*")
_EXPANSION = re.compile(r"\$\(\(.*?\)\)|\$\{[^}]*\}", re.DOTALL)
_PLAIN = re.compile(r"[^\s\\'\"`$;&|()<>]+")


class ShellCommand(msgspec.Struct, frozen=True):
    words: tuple[str, ...]
    """The first is the command's name; at least one."""
    is_piped: bool = False
    """Its output goes into another command."""

    @property
    def name(self) -> str:
        return self.words[0].rpartition("/")[2]

    @property
    def arguments(self) -> tuple[str, ...]:
        return self.words[1:]

    @property
    def operands(self) -> tuple[str, ...]:
        """The arguments that are no options."""
        return tuple(word for word in self.arguments if not word.startswith("-"))

    def has(self, *options: str) -> bool:
        """Whether one of the options is given: long ones also as `--name=value`, short ones also among others."""
        return any(_is_option(word, option) for word in self.arguments for option in options)


def _is_option(word: str, option: str) -> bool:
    if option.startswith("--") or len(option) > 2:
        return word == option or word.startswith(f"{option}=")
    return re.fullmatch(rf"-[A-Za-z]*{option[1]}[A-Za-z]*", word) is not None


def commands_in(text: str) -> list[ShellCommand]:
    """The commands of `text` in their order."""
    return list(_Reader(text).commands())


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._nested: list[str] = []

    def commands(self) -> Iterator[ShellCommand]:
        words: list[str] = []
        while True:
            separator = self._next_word(words)
            if separator is None:
                continue
            if command := _command(words, is_piped=separator in ("|", "|&")):
                yield command
            for nested in self._nested:
                yield from commands_in(nested)
            words, self._nested = [], []
            if not separator:
                return

    def _next_word(self, words: list[str]) -> str | None:
        """Reads one word into `words`; or gives the separator that was met, "" at the end."""
        if blank := _BLANK.match(self._text, self._at):
            self._at = blank.end()
        if comment := _COMMENT.match(self._text, self._at):
            self._at = comment.end()
        if self._at >= len(self._text):
            return ""
        if redirection := _REDIRECTION.match(self._text, self._at):
            self._at = redirection.end()
            self._word()
            return None
        if separator := _SEPARATOR.match(self._text, self._at):
            self._at = separator.end()
            return separator[0]
        words.append(self._word())
        return None

    def _word(self) -> str:
        parts: list[str] = []
        while self._at < len(self._text):
            char = self._text[self._at]
            if plain := _PLAIN.match(self._text, self._at):
                parts.append(plain[0])
                self._at = plain.end()
            elif char == "\\":
                parts.append(self._text[self._at + 1:self._at + 2].strip("\n"))
                self._at += 2
            elif char in "'\"":
                parts.append(self._quoted(char))
            elif char in "$`":
                parts.append(self._substitution())
            else:
                break
        return "".join(parts)

    def _quoted(self, quote: str) -> str:
        start = self._at = self._at + 1
        while self._at < len(self._text) and self._text[self._at] != quote:
            if quote == '"' and self._text.startswith(("$(", "`"), self._at):
                self._substitution()
            else:
                self._at += 2 if quote == '"' and self._text[self._at] == "\\" else 1
        self._at += 1
        return self._text[start:self._at - 1]

    def _substitution(self) -> str:
        """`$(...)`, backquotes, or a `$` with nothing to run."""
        start = self._at
        if self._text.startswith("`", start):
            end = self._text.find("`", start + 1)
            self._at = len(self._text) if end < 0 else end + 1
            self._nested.append(self._text[start + 1:self._at].removesuffix("`"))
        elif self._text.startswith("$(", start) and not self._text.startswith("$((", start):
            self._at = _closing(self._text, start + 2)
            self._nested.append(self._text[start + 2:self._at].removesuffix(")"))
        elif match := _EXPANSION.match(self._text, start):
            self._at = match.end()
        else:
            self._at += 1
        return self._text[start:self._at]


def _closing(text: str, start: int) -> int:
    """Just behind the parenthesis that closes one opened before `start`."""
    depth, at = 1, start
    while at < len(text) and depth:
        char = text[at]
        if char in "'\"":
            end = text.find(char, at + 1)
            at = len(text) if end < 0 else end
        elif char == "\\":
            at += 1
        else:
            depth += (char == "(") - (char == ")")
        at += 1
    return min(at, len(text))


def _command(words: list[str], *, is_piped: bool) -> ShellCommand | None:
    first = 0
    while first < len(words) and (words[first] in _RESERVED or _ASSIGNMENT.match(words[first])):
        first += 1
    return ShellCommand(tuple(words[first:]), is_piped) if first < len(words) else None
