"""click with the habits of spf13/pflag, which docker's users and their scripts know.

A command line is first read by pflag's rules (`--push=false`, `--pull` beside `--pull=never`, `-qfx`, flags after the
arguments) and handed to click as `--name=value ... -- arguments`: click converts the values by their types, nests the
commands, and completes words in a shell. Only click's public API is used.

A flag is declared as `Flag`, which costs nothing; click's Option is made of those that a command line names, and of all
only where they are listed. That keeps the 190 flags of `builder build` out of the way of a build that names three.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from builder.errors import UsageError
from builder.golang.bool import parse_bool

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # generic only in newer versions of click

_T = TypeVar("_T")


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


class Type(_ParamType):
    """What `parse` makes of a text, whose ValueError becomes pflag's complaint; without one, the text.

    `suggest` gives a shell the values that may be meant: of the whole command line so far, and the beginning of one.
    """

    def __init__(self, name: str, parse: Callable[[str], Any] | None = None,
                 suggest: Callable[[Values, str], Iterable[CompletionItem[str]]] | None = None,
                 known: tuple[str, ...] = ()) -> None:
        self.name = name
        self.known = known
        """All values, where they are a few words."""
        self._parse = parse
        self._suggest = suggest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if self._parse is None:
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            label = ", ".join(param.opts if param else ())
            raise FlagError(f'invalid argument "{value}" for "{label}" flag: {error}') from None

    def suggestions(self, values: Values, incomplete: str) -> Iterable[CompletionItem[str]]:
        return self._suggest(values, incomplete) if self._suggest is not None else ()


TEXT = Type("string")
BOOL = Type("bool", parse_bool)


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
    type: Type = TEXT
    """Parses the value, and completes it in a shell."""

    @property
    def takes_next(self) -> bool:
        """Whether the next argument is its value where none is behind `=`."""
        return self.kind not in (Kind.BOOL, Kind.OPTIONAL)


class Option(click.Option):
    """A flag for click. Each occurrence is kept: pflag lets the last one count, but complains about any."""

    def __init__(self, flag: Flag) -> None:
        names = (f"-{flag.short}", f"--{flag.name}") if flag.short else (f"--{flag.name}",)
        super().__init__(names, multiple=True, help=flag.help, hidden=flag.hidden, metavar=flag.metavar,
                         type=BOOL if flag.kind is Kind.BOOL else flag.type)
        self.flag = flag


class Values:
    """What the command line gave, by flag name; asking for a flag that the command does not have is a bug."""

    def __init__(self, flags: Iterable[Flag], given: Sequence[tuple[Flag, str]], arguments: Sequence[str]) -> None:
        self.arguments = tuple(arguments)
        """What is no flag."""
        self._texts: dict[str, list[str]] = {flag.name: [] for flag in flags}
        self._parsed: dict[str, tuple[Any, ...]] = {}
        self.named = {flag.name: flag for flag, _ in given}
        for flag, text in given:
            self._texts[flag.name].append(text)

    def parsed_as(self, params: dict[str, Any]) -> None:
        """Keeps what click made of the texts."""
        self._parsed = {name: params[name.replace("-", "_")] for name in self.named}

    def as_words(self) -> list[str]:
        """The flags as a command line."""
        return [f"--{name}={text}" for name in self.named for text in self._texts[name]]

    def knows(self, name: str) -> bool:
        return name in self._texts

    def given(self, name: str) -> bool:
        return bool(self._texts[name])

    def text(self, name: str, default: str = "") -> str:
        """The last value as it was written."""
        texts = self._texts[name]
        return texts[-1] if texts else default

    def on(self, name: str, default: bool = False) -> bool:
        return bool(self._parsed[name][-1]) if self._texts[name] else default

    def all(self, name: str) -> tuple[str, ...]:
        """Every value as it was written."""
        return tuple(self._texts[name])

    def value(self, name: str, default: _T) -> _T:
        """The last value as the flag's type parsed it."""
        value: _T = self._parsed[name][-1] if self._texts[name] else default
        return value

    def values(self, name: str) -> tuple[Any, ...]:
        """Every value as the flag's type parsed it."""
        return self._parsed[name] if self._texts[name] else ()


class Command(click.Command):
    """A command by pflag's rules. Its context's `obj` is the Values once it is parsed.

    Without `interspersed` the first argument that is no flag ends the flags (as `docker run IMAGE COMMAND` needs it).
    """

    def __init__(self, name: str, *, flags: Sequence[Flag] = (), interspersed: bool = True,
                 takes: Type = TEXT, most: int | None = None, **attributes: Any) -> None:
        super().__init__(name, add_help_option=False, context_settings={
            "allow_interspersed_args": interspersed, "allow_extra_args": True}, **attributes)
        self.flags = tuple(flags)
        self.takes = takes
        """What the arguments are."""
        self.most = most
        """How many arguments there can be; None for any number."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given, arguments = Reader(self.flags).read(args, ctx.allow_interspersed_args)
        values = ctx.obj = Values(self.flags, given, arguments)
        left = super().parse_args(ctx, [*(f"--{flag.name}={text}" for flag, text in given), "--", *arguments])
        values.parsed_as(ctx.params)
        return left

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Those that the command line names."""
        return [Option(flag) for flag in ctx.obj.named.values()]


def parse(flags: Sequence[Flag], arguments: Sequence[str], *, interspersed: bool = True) -> tuple[Values, list[str]]:
    """The flags' values and the other arguments. Raises FlagError."""
    with Command("", flags=flags, interspersed=interspersed).make_context("", list(arguments)) as ctx:
        values: Values = ctx.obj
    return values, list(values.arguments)


def write_flags(formatter: click.HelpFormatter, title: str, flags: Iterable[Flag]) -> None:
    """A table of --help as docker has it."""
    shown = sorted((flag for flag in flags if not flag.hidden), key=lambda flag: flag.name)
    with formatter.section(title):
        formatter.write_dl([(_head(flag), flag.help) for flag in shown], col_max=100, col_spacing=3)


def _head(flag: Flag) -> str:
    letter = f"-{flag.short}, " if flag.short else "    "
    value = "" if flag.kind is Kind.BOOL else f"[={flag.metavar}]" if flag.kind is Kind.OPTIONAL else f" {flag.metavar}"
    return f"{letter}--{flag.name}{value}"


class Reader:
    """Finds flags and arguments by pflag's rules. Raises FlagError with its sentences."""

    def __init__(self, flags: Sequence[Flag]) -> None:
        self.long = {flag.name: flag for flag in flags}
        self.short = {flag.short: flag for flag in flags if flag.short}
        self.found: list[tuple[Flag, str]] = []

    def read(self, arguments: Sequence[str], interspersed: bool) -> tuple[list[tuple[Flag, str]], list[str]]:
        """The flags with their values, and the other arguments."""
        rest: list[str] = []
        following = list(reversed(arguments))
        while following:
            argument = following.pop()
            if argument == "--":
                break
            if argument.startswith("--"):
                self._read_long(argument[2:], following)
            elif argument.startswith("-") and argument != "-":
                self._read_short(argument[1:], following)
            else:
                rest.append(argument)
                if not interspersed:
                    break
        return self.found, rest + following[::-1]

    def _read_long(self, text: str, following: list[str]) -> None:
        name, equals, value = text.partition("=")
        flag = self.long.get(name)
        if not name or flag is None:
            raise _unknown_flag(name, self.long)
        if equals:
            self._found(flag, value)
        elif not flag.takes_next:
            self._found(flag, flag.bare)
        elif following:
            self._found(flag, following.pop())
        else:
            raise FlagError(f"flag needs an argument: --{name}")

    def _read_short(self, letters: str, following: list[str]) -> None:
        for at, letter in enumerate(letters):
            flag = self.short.get(letter)
            if flag is None:
                raise FlagError(f"unknown shorthand flag: '{letter}' in -{letters}")
            behind = letters[at + 1:]
            if not behind.startswith("=") and not flag.takes_next:
                self._found(flag, flag.bare)
                continue
            if not behind and not following:
                raise FlagError(f"flag needs an argument: '{letter}' in -{letters}")
            self._found(flag, behind.removeprefix("=") if behind else following.pop())
            break

    def _found(self, flag: Flag, value: str) -> None:
        self.found += [(flag, part) for part in (value.split(",") if flag.kind is Kind.COMMAS else (value,))]


def _unknown_flag(name: str, known: dict[str, Flag]) -> FlagError:
    from builder.golang.suggest import did_you_mean

    shown = [flag.name for flag in known.values() if not flag.hidden]
    return FlagError(f"unknown flag: --{name}", hint=did_you_mean(name, shown, prefix="--"))
