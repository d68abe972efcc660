"""Command-line flags with the rules of spf13/pflag, which docker's users know.

Not click or argparse: `--push=false`, `--pull` beside `--pull=never`, `-t=x` and "unknown flag" texts are what scripts
written for docker rely on, and this module costs a no-op build less than a millisecond where click costs eighteen.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

import msgspec

from builder.errors import UsageError
from builder.golang.bool import parse_bool


class Kind(enum.Enum):
    BOOL = "bool"
    """`--x`, or `--x=BOOL` with Go's spellings; never takes the next argument."""
    TEXT = "text"
    """One value; the last one counts."""
    LIST = "list"
    """May be repeated; values are kept as they are (pflag's stringArray)."""
    COMMAS = "commas"
    """May be repeated; every value is split at commas (pflag's strings)."""
    OPTIONAL = "optional"
    """`--x` means `bare`; a value only with `=`."""


class Flag(msgspec.Struct, frozen=True):
    name: str
    help: str
    kind: Kind = Kind.TEXT
    short: str = ""
    metavar: str = "string"
    bare: str = "true"
    """What an OPTIONAL flag without a value means."""
    hidden: bool = False
    """Accepted, but left out of --help: what peers have and what means nothing here."""

    @property
    def label(self) -> str:
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


class Values:
    """What the command line gave, by flag name; asking for a flag that the command does not have is a bug."""

    def __init__(self, flags: Sequence[Flag]) -> None:
        self._given: dict[str, list[str]] = {flag.name: [] for flag in flags}

    def add(self, flag: Flag, value: str) -> None:
        self._given[flag.name].append(value)

    def given(self, name: str) -> bool:
        return bool(self._given[name])

    def text(self, name: str, default: str = "") -> str:
        values = self._given[name]
        return values[-1] if values else default

    def on(self, name: str, default: bool = False) -> bool:
        values = self._given[name]
        return parse_bool(values[-1]) if values else default

    def all(self, name: str) -> tuple[str, ...]:
        return tuple(self._given[name])


class FlagError(UsageError):
    """The command line does not fit the flags; shown with the command's usage line once `of_command` has said which."""

    exit_code = 125
    """As with docker, where only flags have a status of their own."""

    def of_command(self, name: str, usage: str) -> FlagError:
        return type(self)(self.message, notes=(f"usage: builder {usage}",),
                         hint=self.hint or f"`builder {name} --help` lists the flags")


class WrongArguments(FlagError):
    """Too many arguments or too few."""

    exit_code = 1


def parse(flags: Sequence[Flag], arguments: Sequence[str], *, interspersed: bool = True) -> tuple[Values, list[str]]:
    """The flags' values and the other arguments. Raises FlagError.

    Without `interspersed` the first argument that is no flag ends the flags (as `docker run IMAGE COMMAND` needs it).
    """
    return _Parser(flags).parse(list(arguments), interspersed)


class _Parser:
    def __init__(self, flags: Sequence[Flag]) -> None:
        self.values = Values(flags)
        self.long = {flag.name: flag for flag in flags}
        self.short = {flag.short: flag for flag in flags if flag.short}

    def parse(self, arguments: list[str], interspersed: bool) -> tuple[Values, list[str]]:
        rest: list[str] = []
        arguments.reverse()
        while arguments:
            argument = arguments.pop()
            if argument == "--":
                break
            if argument.startswith("--"):
                self._parse_long(argument[2:], arguments)
            elif argument.startswith("-") and argument != "-":
                self._parse_short(argument[1:], arguments)
            else:
                rest.append(argument)
                if not interspersed:
                    break
        return self.values, rest + arguments[::-1]

    def _parse_long(self, text: str, following: list[str]) -> None:
        name, equals, value = text.partition("=")
        flag = self.long.get(name)
        if not name or flag is None:
            raise _unknown_flag(name, self.long)
        if equals:
            self._store(flag, value)
        elif flag.kind in (Kind.BOOL, Kind.OPTIONAL):
            self._store(flag, flag.bare)
        elif following:
            self._store(flag, following.pop())
        else:
            raise FlagError(f"flag needs an argument: --{name}")

    def _parse_short(self, letters: str, following: list[str]) -> None:
        for at, letter in enumerate(letters):
            flag = self.short.get(letter)
            if flag is None:
                raise FlagError(f"unknown shorthand flag: '{letter}' in -{letters}")
            rest = letters[at + 1:]
            if not rest.startswith("=") and flag.kind in (Kind.BOOL, Kind.OPTIONAL):
                self._store(flag, flag.bare)
                continue
            if not rest and not following:
                raise FlagError(f"flag needs an argument: '{letter}' in -{letters}")
            self._store(flag, rest.removeprefix("=") if rest else following.pop())
            break

    def _store(self, flag: Flag, value: str) -> None:
        if flag.kind is Kind.BOOL:
            try:
                parse_bool(value)
            except ValueError as error:
                raise FlagError(f'invalid argument "{value}" for "{flag.label}" flag: {error}') from None
        for part in value.split(",") if flag.kind is Kind.COMMAS else (value,):
            self.values.add(flag, part)


def _unknown_flag(name: str, known: dict[str, Flag]) -> FlagError:
    from builder.golang.suggest import did_you_mean

    shown = [flag.name for flag in known.values() if not flag.hidden]
    return FlagError(f"unknown flag: --{name}", hint=did_you_mean(name, shown, prefix="--"))


def describe(flags: Sequence[Flag], width: int) -> str:
    """The `Options:` table of --help, wrapped to `width` columns."""
    import textwrap

    shown = sorted((flag for flag in flags if not flag.hidden), key=lambda flag: flag.name)
    heads = [_head(flag) for flag in shown]
    column = max(len(head) for head in heads) + 3
    lines = []
    for flag, head in zip(shown, heads, strict=True):
        text = textwrap.wrap(flag.help, max(width - column, 24))
        lines.append(head.ljust(column) + text[0])
        lines.extend(" " * column + line for line in text[1:])
    return "\n".join(lines)


def _head(flag: Flag) -> str:
    letter = f"-{flag.short}, " if flag.short else "    "
    value = "" if flag.kind is Kind.BOOL else f"[={flag.metavar}]" if flag.kind is Kind.OPTIONAL else f" {flag.metavar}"
    return f"  {letter}--{flag.name}{value}"
