"""Completion in bash, zsh and fish: click's protocol, with pflag's rules and docker's two-word commands.

A shell runs `builder` with the command line so far in the environment; the answer is a line, or in zsh three, for each
word that may be meant. Whatever goes wrong or takes too long, nothing is suggested and nothing is printed.

Dockerfiles, bake files, images and folders of others decide what the words and their help are. `_Words` passes on only
what no shell and no terminal takes for more than a word.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any, TypeAlias

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    split_arg_string,
)

from builder.cli.command import SUMMARIES
from builder.cli.group import ALIASES, Group, UnknownCommand, find_command, load
from builder.cli.pflag import Command, Flag, Kind, Reader, Values
from builder.cli.suggestions import paths
from builder.cli.value_types import SWITCH
from builder.ui.text import printable

Item: TypeAlias = "CompletionItem[str]"
_VARIABLE = "_BUILDER_COMPLETE"
_HERE = "\0"
"""Stands for the word that is being completed; no argument can have a NUL."""


_PLAIN = re.compile(r"[\w@./-][\w@./:=,+%-]*")
"""Words that mean themselves in every shell without quotes; bash inserts what it is offered as it is."""
_MOST_SECONDS = 5
"""After which nobody waits for suggestions any more, say of a bake file that is a pipe."""


class _Words(ShellComplete):
    def source(self) -> str:
        return self.source_template % self.source_vars()

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        """Without words that a shell would not insert as one argument, or a command would take for a flag."""
        return [CompletionItem(item.value, type=item.type, help=printable(item.help or "") or None)
                for item in _suggestions(Group(), args, incomplete) if item.type != "plain" or (
                    _PLAIN.fullmatch(item.value) and (item.value[0] != "-" or incomplete[:1] == "-"))]


class _Bash(_Words, BashComplete):
    """Gets the line rather than bash's words, which are split at `=`, `:` and `@`; the answers are cut there again."""

    source_template = """\
%(complete_func)s() {
    local line="${COMP_LINE:0:COMP_POINT}" type value
    local word="${line##*[[:space:]]}"
    local kept="${word%%"$2"}"
    COMPREPLY=()
    while IFS=, read -r type value; do
        case "$type" in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain)
                COMPREPLY+=("${value#"$kept"}")
                if [[ "$value" == *[=/] ]]; then compopt -o nospace; fi ;;
        esac
    done < <(COMP_WORDS="$line" %(complete_var)s=bash_complete "$1")
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)[1:]
        return (words, "") if line[-1:].isspace() or not words else (words[:-1], words[-1])


class _Zsh(_Words, ZshComplete):
    pass


class _Fish(_Words, FishComplete):
    """Cuts an answer at its first comma alone: words and help may have more."""

    source_template = """\
function %(complete_func)s
    for answer in (env %(complete_var)s=fish_complete COMP_WORDS=(commandline -cp) \
            COMP_CWORD=(commandline -t) %(prog_name)s)
        set -l parts (string split -m 1 , -- $answer)
        switch $parts[1]
            case dir
                __fish_complete_directories $parts[2]
            case file
                __fish_complete_path $parts[2]
            case plain
                printf '%%s\\n' $parts[2]
        end
    end
end

complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""


SHELLS: dict[str, type[_Words]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}


def script(shell: str) -> str:
    """What the shell has to read."""
    return SHELLS[shell](Group(), {}, "builder", _VARIABLE).source()


def complete(instruction: str) -> int:
    """Answers a shell: `bash_complete`. Standard input is the shell's own: nothing of it is read.

    The status, which shells do not look at, is 0, or 1 where it took too long.
    """
    shell = instruction.partition("_")[0]
    signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(_MOST_SECONDS)
    with contextlib.suppress(Exception), open(os.devnull, "r+") as nowhere, contextlib.redirect_stderr(nowhere):
        os.dup2(nowhere.fileno(), 0)
        answer = SHELLS[shell](Group(), {}, "builder", _VARIABLE).complete()
        if answer:
            print(answer)
        sys.stdout.flush()
    return 0


def _give_up(number: int, frame: FrameType | None) -> None:
    os._exit(1)


def _suggestions(group: Group, args: list[str], incomplete: str) -> Iterable[Item]:
    """What the word that begins with `incomplete` may be, whole. Raises UsageError."""
    pending, values = _read(group, args)
    words = values.arguments[1:] if values.arguments[:1] == ("help",) else values.arguments
    try:
        name, following = find_command(list(words))
    except (IndexError, UnknownCommand):
        if pending is not None or (incomplete.startswith("-") and not words):
            return _of_command(group, pending, values, incomplete)
        return _of_names(words, incomplete)
    command = load(name)
    pending, own = _read(command, [*values.as_words(), *following])
    more = [] if following or incomplete.startswith("-") else _of_names(words, incomplete)
    return [*more, *_of_command(command, pending, own, incomplete, ended="--" in following)]


def _read(command: Command, args: list[str]) -> tuple[Flag | None, Values]:
    """What the command line gives so far, and the flag that still needs its value. Raises FlagError."""
    interspersed = bool(command.context_settings["allow_interspersed_args"])
    found, rest = Reader(command.flags).read([*args, _HERE], interspersed)
    pending = found.pop()[0] if found and _HERE in found[-1][1] else None
    return pending, Values(command.flags, found, [word for word in rest if word != _HERE])


def _of_command(command: Command, pending: Flag | None, values: Values, incomplete: str, *,
                ended: bool = False) -> Iterable[Item]:
    """A value of the pending flag, a flag, or an argument."""
    if pending is not None:
        return _of_flag(pending, values, "", incomplete)
    ended = ended or (bool(values.arguments) and not command.context_settings["allow_interspersed_args"])
    if not incomplete.startswith("-") or ended:
        more = command.most is None or len(values.arguments) < command.most
        return command.takes.suggestions(values, incomplete) if more else ()
    label, equals, value = incomplete.partition("=")
    if equals:
        flags = [flag for flag in command.flags if f"--{flag.name}" == label]
        return [item for flag in flags for item in _of_flag(flag, values, f"{label}=", value)]
    return [CompletionItem(f"--{flag.name}", help=flag.help) for flag in command.flags
            if f"--{flag.name}".startswith(incomplete) and (not flag.hidden or flag.name == "help")]


def _of_flag(flag: Flag, values: Values, before: str, text: str) -> Iterator[Item]:
    """Values that begin with `text`, behind `before`."""
    if flag.kind is Kind.COMMAS:
        first, comma, text = text.rpartition(",")
        before += first + comma
    for item in (SWITCH if flag.kind is Kind.BOOL else flag.type).suggestions(values, text):
        if before and item.type in ("file", "dir"):
            yield from paths(before, text, item.type == "dir")
        else:
            yield CompletionItem(before + item.value, type=item.type, help=item.help)


def _of_names(words: tuple[str, ...], incomplete: str) -> list[Item]:
    """Commands whose first words are `words`; docker's other names where there is none of ours."""
    found: dict[str, str] = {}
    for table in ({**SUMMARIES, "help": "Print the help of a command"}, ALIASES):
        for spelling, text in table.items():
            parts = spelling.split()
            if tuple(parts[:len(words)]) == words and parts[len(words):] and parts[len(words)].startswith(incomplete):
                found.setdefault(parts[len(words)], SUMMARIES.get(text, text) if len(parts) == len(words) + 1 else "")
        if found:
            break
    return [CompletionItem(name, help=text or None) for name, text in found.items()]
